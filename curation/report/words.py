"""The report's own words, in English and Korean; the pages' words are never translated.

`{…}` are filled by the template. A test holds both languages to the same keys and fields.
"""

from typing import Any, Literal

from curation.report.reasons import KOREAN

Language = Literal["en", "ko"]

_EN: dict[str, str] = {
    "report": "Curation report",
    "contents": "Contents",
    "kept_of_pages": "of {pages} pages kept",
    "no_pages": "This run read no pages.",
    "equation": "{pages} pages in = {kept} kept + {dropped} dropped",
    "pages_in": "Pages in",
    "kept": "Kept",
    "dropped": "Dropped",
    "tokens": "Tokens",
    "characters": "Characters",
    "shard_size": "Shards",
    "duplicates": "Duplicates removed",
    "of_pages": "{share} of pages",
    "per_page": "{n} a page",
    "n_files": "files: {n}",
    "recipe": "Recipe",
    "seed": "Seed",
    "target_language": "Language",
    "every_language": "any",
    "warning": "Look here first",
    "failed_inputs": "Input files that could not be read whole: {n}. See Inputs.",
    "disagree": "The tally counts {tally} pages, the manifest {manifest}: examples and charts do not cover every page.",
    "retried": "Pages that met a limit of time or memory and were tried again: {n} ({outcomes}).",
    "funnel": "The funnel",
    "short_funnel": "Funnel",
    "short_losses": "Losses",
    "short_kept_pages": "Kept",
    "short_domains": "Domains",
    "short_clusters": "Duplicates",
    "short_models": "Models",
    "short_resolved": "Recipe",
    "funnel_lead": "What entered each stage, and what it dropped.",
    "funnel_drawing": (
        "A stream of pages from top to bottom, as wide as the pages left. At each stage the dropped ones part from it. "
        "The table holds the same numbers."
    ),
    "stage": "Stage",
    "entering": "Entering",
    "left": "Left",
    "left_share": "% left",
    "flow": "Flow",
    "losses": "Losses by reason",
    "losses_lead": "Open a reason to see pages it dropped, drawn by lot.",
    "no_losses": "Nothing was dropped.",
    "reason": "Reason",
    "share": "Share",
    "pages": "Pages",
    "below": "measured {value}, at least {threshold} required",
    "above": "measured {value}, at most {threshold} allowed",
    "alike": "one of {n} pages that duplicate each other",
    "no_text": "No text was recorded.",
    "no_example": "No example was recorded.",
    "no_address": "no address",
    "gates": "Gates",
    "gates_lead": (
        "A gate drops pages after a cheap look, before their main text is found. Pages of a seeded sample pass all, "
        "and what becomes of them tells what is lost."
    ),
    "gate": "Gate",
    "gate_threshold": "At least",
    "gate_asked": "Sampled",
    "gate_failed": "It would drop",
    "gate_kept": "Kept in the end",
    "gate_lost": "Lost of these",
    "gate_share": "{share}, and with 95% confidence at most {most}, of the pages that would be kept are lost.",
    "gate_unknown": "No page of the sample was kept, so nothing is known of the loss: a larger sample.rate would tell.",
    "kept_pages": "Kept pages",
    "kept_lead": "Drawn by lot from everything that was published.",
    "nothing_kept": "Nothing was kept.",
    "languages": "Languages",
    "languages_lead": "Pages by language, where one was recognised; solid is kept.",
    "language": "Language",
    "more_rows": "{n} more with {pages} pages",
    "seen": "Seen",
    "at_most_short": "Counts are at most {error} too low.",
    "none_known": "None recorded.",
    "lengths": "Lengths",
    "lengths_lead": "On a logarithmic scale.",
    "length_characters": "Characters a page",
    "length_tokens": "Tokens a page",
    "no_tokens": "No tokens were counted.",
    "scores": "Scores",
    "scores_lead": "Pages by score, both kept and dropped where the score was known.",
    "score_language": "Language score",
    "score_quality": "Quality score",
    "no_score": "No such score was recorded.",
    "summary": "Median {median}; half of the kept between {low} and {high}",
    "from": "From",
    "as_table": "As a table",
    "threshold_mark": "threshold {value}",
    "domains": "Top domains",
    "domains_lead": "Registered domains by pages kept.",
    "domain": "Domain",
    "clusters": "Duplicate clusters",
    "clusters_lead": "Groups of pages that duplicate each other; one page of each stood for it.",
    "cluster_pages": "Pages in a cluster",
    "cluster_count": "Clusters",
    "largest": "The largest",
    "n_copies": "{n} pages",
    "no_clusters": "No duplicate clusters.",
    "inputs": "Inputs",
    "inputs_lead": "{n} files, {size}, {pages} pages.",
    "skipped": "Records that are no pages",
    "failed": "Could not be read whole",
    "all_read": "Every file was read to its end.",
    "file": "File",
    "size": "Size",
    "more_files": "{n} more in manifest.json",
    "deviations": "Deviations",
    "deviations_lead": "Where this run departs from the recipe it is named after.",
    "no_deviations": "None.",
    "models": "Models and lists",
    "no_models": "The recipe needs none.",
    "libraries": "Libraries whose output reaches the shards",
    "version": "Version",
    "name": "Name",
    "resolved": "The recipe, resolved",
    "resolved_lead": "Every parameter as the run used it.",
    "off": "off",
    "everything": "All of it as JSON",
    "files": "Files",
    "files_lead": "What the run published, with checksums.",
    "rows": "Rows",
    "footer": (
        "Made from the run’s manifest and merged tallies. Texts shown belong to their authors. "
        "This file runs no script and requests nothing."
    ),
}

_KO: dict[str, str] = {
    "report": "정제 보고서",
    "contents": "차례",
    "kept_of_pages": "전체 {pages}쪽 가운데 남은 비율",
    "no_pages": "이번 실행에서 읽은 페이지가 없습니다.",
    "equation": "입력 {pages}쪽 = 유지 {kept}쪽 + 제외 {dropped}쪽",
    "pages_in": "입력 페이지",
    "kept": "유지",
    "dropped": "제외",
    "tokens": "토큰",
    "characters": "글자",
    "shard_size": "샤드",
    "duplicates": "제거한 중복",
    "of_pages": "전체의 {share}",
    "per_page": "쪽당 {n}",
    "n_files": "파일 {n}개",
    "recipe": "레시피",
    "seed": "시드",
    "target_language": "언어",
    "every_language": "모든 언어",
    "warning": "먼저 확인할 점",
    "failed_inputs": "끝까지 읽지 못한 입력 파일이 {n}개 있습니다. ‘입력’을 보세요.",
    "disagree": "집계는 {tally}쪽, 매니페스트는 {manifest}쪽입니다. 예시와 그림이 모든 페이지를 담고 있지는 않습니다.",
    "retried": "시간이나 메모리 한도에 걸려 다시 시도한 페이지: {n}쪽 ({outcomes}).",
    "funnel": "단계별 흐름",
    "short_funnel": "흐름",
    "short_losses": "제외",
    "short_kept_pages": "유지",
    "short_domains": "도메인",
    "short_clusters": "중복",
    "short_models": "모델",
    "short_resolved": "레시피",
    "funnel_lead": "단계마다 들어온 페이지와 제외된 페이지입니다.",
    "funnel_drawing": (
        "위에서 아래로 흐르는 페이지의 줄기로, 너비는 남은 페이지 수입니다. 단계마다 제외된 페이지가 갈라져 나갑니다. "
        "표에 같은 수가 있습니다."
    ),
    "stage": "단계",
    "entering": "들어옴",
    "left": "남음",
    "left_share": "남은 비율",
    "flow": "흐름",
    "losses": "제외된 까닭",
    "losses_lead": "까닭을 펼치면 그 때문에 제외된 페이지를 무작위로 뽑아 보여 줍니다.",
    "no_losses": "제외된 페이지가 없습니다.",
    "reason": "까닭",
    "share": "비율",
    "pages": "페이지",
    "below": "측정값 {value}, 최소 {threshold} 필요",
    "above": "측정값 {value}, 최대 {threshold} 허용",
    "alike": "서로 중복인 {n}쪽 가운데 하나",
    "no_text": "기록된 본문이 없습니다.",
    "no_example": "기록된 예시가 없습니다.",
    "no_address": "주소 없음",
    "gates": "관문",
    "gates_lead": (
        "관문은 본문을 찾기 전에 페이지를 가볍게 살펴보고 제외합니다. 시드로 뽑은 표본은 모든 관문을 지나가므로, 그 "
        "결과로 관문이 무엇을 잃는지 알 수 있습니다."
    ),
    "gate": "관문",
    "gate_threshold": "하한",
    "gate_asked": "표본",
    "gate_failed": "제외했을 쪽",
    "gate_kept": "끝까지 남은 쪽",
    "gate_lost": "그 가운데 손실",
    "gate_share": "남았을 페이지의 {share}, 95% 신뢰수준에서 많아야 {most}를 잃습니다.",
    "gate_unknown": "표본에서 남은 페이지가 없어 손실을 알 수 없습니다. sample.rate를 키우면 알 수 있습니다.",
    "kept_pages": "유지된 페이지",
    "kept_lead": "내보낸 모든 페이지에서 무작위로 뽑았습니다.",
    "nothing_kept": "남은 페이지가 없습니다.",
    "languages": "언어",
    "languages_lead": "언어가 식별된 페이지 수입니다. 진한 막대가 유지된 페이지입니다.",
    "language": "언어",
    "more_rows": "그 밖에 {n}개, {pages}쪽",
    "seen": "전체",
    "at_most_short": "실제보다 최대 {error}만큼 적게 세었을 수 있습니다.",
    "none_known": "기록이 없습니다.",
    "lengths": "길이",
    "lengths_lead": "가로축은 로그 눈금입니다.",
    "length_characters": "쪽당 글자 수",
    "length_tokens": "쪽당 토큰 수",
    "no_tokens": "센 토큰이 없습니다.",
    "scores": "점수",
    "scores_lead": "점수별 페이지 수입니다. 점수를 아는 경우 제외된 페이지도 포함합니다.",
    "score_language": "언어 점수",
    "score_quality": "품질 점수",
    "no_score": "기록된 점수가 없습니다.",
    "summary": "중앙값 {median}, 유지된 페이지의 절반은 {low}에서 {high} 사이",
    "from": "이상",
    "as_table": "표로 보기",
    "threshold_mark": "기준 {value}",
    "domains": "주요 도메인",
    "domains_lead": "등록 도메인별로 유지된 페이지 수입니다.",
    "domain": "도메인",
    "clusters": "중복 묶음",
    "clusters_lead": "서로 중복인 페이지의 묶음입니다. 묶음마다 한 쪽이 대표로 남습니다.",
    "cluster_pages": "묶음의 페이지 수",
    "cluster_count": "묶음",
    "largest": "가장 큰 묶음",
    "n_copies": "{n}쪽",
    "no_clusters": "중복 묶음이 없습니다.",
    "inputs": "입력",
    "inputs_lead": "파일 {n}개, {size}, {pages}쪽.",
    "skipped": "페이지가 아닌 레코드",
    "failed": "끝까지 읽지 못한 파일",
    "all_read": "모든 파일을 끝까지 읽었습니다.",
    "file": "파일",
    "size": "크기",
    "more_files": "나머지 {n}개는 manifest.json에 있습니다",
    "deviations": "레시피와 다른 점",
    "deviations_lead": "이름이 같은 원래 레시피와 이번 실행이 다른 점입니다.",
    "no_deviations": "없습니다.",
    "models": "모델과 목록",
    "no_models": "이 레시피에는 필요하지 않습니다.",
    "libraries": "출력이 샤드에 반영되는 라이브러리",
    "version": "버전",
    "name": "이름",
    "resolved": "적용된 레시피",
    "resolved_lead": "실행에 쓰인 모든 매개변수입니다.",
    "off": "꺼짐",
    "everything": "전체를 JSON으로",
    "files": "파일",
    "files_lead": "이번 실행이 내보낸 파일과 체크섬입니다.",
    "rows": "행",
    "footer": (
        "실행의 매니페스트와 합친 집계로 만들었습니다. 실린 글의 권리는 글쓴이에게 있습니다. "
        "이 파일은 스크립트를 실행하지 않으며 아무것도 요청하지 않습니다."
    ),
}

WORDS: dict[Language, dict[str, str]] = {"en": _EN, "ko": _KO}

_STAGES: dict[str, tuple[str, str]] = {
    "read": ("reading records", "레코드 읽기"),
    "child": ("limits of time and memory", "시간과 메모리 한도"),
    "url_filter": ("addresses on block lists", "차단 목록의 주소"),
    "url_dedup": ("the same address twice", "같은 주소의 중복"),
    "digest_dedup": ("the same bytes twice", "같은 내용의 중복"),
    "extract": ("main text out of HTML", "HTML에서 본문 추출"),
    "language": ("language recognised", "언어 식별"),
    "gopher_repetition": ("repeated lines and phrases", "되풀이되는 줄과 구절"),
    "gopher_quality": ("does it read like prose?", "글다운 글인가"),
    "c4": ("lines that are no sentences", "문장이 아닌 줄"),
    "fineweb": ("lists and broken lines", "목록과 끊긴 줄"),
    "minhash": ("near-duplicates", "거의 같은 글"),
    "ftfy": ("garbled characters mended", "깨진 글자 고침"),
    "pii": ("personal data masked", "개인 정보 가림"),
    "symbol_lines": ("lines of symbols removed", "기호뿐인 줄 제거"),
    "quality": ("quality classifier", "품질 분류기"),
    "token_count": ("tokens counted", "토큰 세기"),
}


class Words:
    """Looks words up: `w("kept")`, `w("of_pages", share="3%")`."""

    def __init__(self, language: Language) -> None:
        """Chooses the language.

        Raises:
          ValueError: there are no words in it.
        """
        if language not in WORDS:
            raise ValueError(f"the report is not written in {language!r}; choose one of {', '.join(WORDS)}")
        self.language: Language = language

    def __call__(self, key: str, **fields: Any) -> str:
        """The words for the key, its fields filled."""
        return WORDS[self.language][key].format(**fields)

    def short(self, key: str) -> str:
        """The words for the key, in their short form where they have one."""
        words = WORDS[self.language]
        return words.get(f"short_{key}", words[key])

    def stage(self, name: str) -> str:
        """What a stage looks at, in a few words; "" for stages of the user's own."""
        return _STAGES.get(name, ("", ""))[1 if self.language == "ko" else 0]

    def reason(self, name: str) -> str:
        """A reason's name as words."""
        korean = KOREAN.get(name, "") if self.language == "ko" else ""
        return korean or name.replace("_", " ")
