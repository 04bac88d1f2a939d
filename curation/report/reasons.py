"""Korean names of the reasons that our own stages give; a reason without one keeps its English words."""

_NAMES = """
duplicate_url 같은 주소의 중복
duplicate_digest 같은 내용의 중복
near_duplicate 거의 같은 글
crashed_worker 처리 프로세스가 멈춤
timed_out 시간 한도 초과
out_of_memory 메모리 한도 초과
content_type 다루지 않는 콘텐츠 형식
http_status HTTP 오류 응답
bad_http_head 잘못된 HTTP 머리
body_too_large 너무 큰 본문
undecodable_body 풀 수 없는 압축
undecodable_bytes 읽을 수 없는 문자 인코딩
too_many_elements 너무 많은 HTML 요소
too_many_attributes 너무 많은 HTML 속성
doctype_too_long 너무 긴 문서 형식 선언
too_deep 너무 깊은 HTML 구조
extractor_error 본문 추출 오류
empty_text 추출된 본문 없음
empty 빈 글
needs_extract 텍스트가 아님
damaged_record 손상된 레코드
unreadable_record 읽을 수 없는 레코드
truncated_record 잘린 레코드
false_length 길이가 틀린 레코드
record_too_large 너무 큰 레코드
gzip_bomb 압축 폭탄
bad_json 잘못된 JSON
invalid_utf8 잘못된 UTF-8
line_too_long 너무 긴 줄
no_text 본문 열이 비어 있음
text_not_string 본문이 문자열이 아님
invalid_url 잘못된 주소
banned_domain 차단된 도메인
banned_subdomain 차단된 하위 도메인
banned_url 차단된 주소
banned_word 주소에 금지어
soft_banned_words 주소에 의심 단어 여럿
banned_subword 주소에 금지 문자열
unlikely_language 원하는 언어일 가능성이 낮음
wrong_language 다른 언어
low_language_score 낮은 언어 점수
low_quality 낮은 품질 점수
duplicate_paragraphs 되풀이되는 문단
duplicate_paragraph_chars 되풀이되는 문단의 글자
duplicate_lines 되풀이되는 줄
duplicate_line_chars 되풀이되는 줄의 글자
too_few_words 너무 적은 낱말
too_many_words 너무 많은 낱말
words_too_short 너무 짧은 낱말
words_too_long 너무 긴 낱말
too_many_hashes 너무 많은 #
too_many_ellipses 너무 많은 말줄임표
too_many_bullet_lines 너무 많은 글머리 줄
too_many_ellipsis_lines 말줄임표로 끝나는 줄이 너무 많음
too_few_alphabetic_words 글자로 된 낱말이 너무 적음
too_few_stop_words 너무 적은 불용어
lorem_ipsum 로렘 입숨
curly_bracket 중괄호
too_few_sentences 너무 적은 문장
too_few_terminal_lines 마침표로 끝나는 줄이 너무 적음
too_many_short_lines 짧은 줄이 너무 많음
too_many_newlines 줄바꿈이 너무 많음
"""

KOREAN: dict[str, str] = {
    **{line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in _NAMES.strip().split("\n")},
    **{f"top_{n}_gram": f"가장 잦은 {n}-gram" for n in (2, 3, 4)},
    **{f"duplicate_{n}_grams": f"되풀이되는 {n}-gram" for n in range(5, 11)},
}
