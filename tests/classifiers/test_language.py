"""The language stage: its thresholds, its labels, and datatrove's own scores on real pages."""

import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.fasttext import FastText, ModelError, load
from classifiers.labels import LID176_TO_FINEWEB2
from classifiers.language import Language
from schemas.records import Document, Verdict
from storage.errors import RegistryError
from storage.registry import Registry

SHARED = Path(__file__).parents[2].parent / "shared" / "data"

KOREAN = "안녕하세요. 오늘은 날씨가 맑고 바람이 시원해서 산책하기 좋은 날입니다."
GERMAN = "Heute ist das Wetter schön, und wir gehen am Nachmittag mit den Kindern in den Park."


@pytest.fixture(scope="session")
def model() -> Path:
    """lid.176.ftz, where the registry can get it."""
    try:
        return Registry().resolve("lid176")
    except RegistryError as error:
        pytest.skip(f"no lid.176.ftz: {str(error).splitlines()[0]}")


def doc(language: str, score: float) -> Document:
    return Document(text="x", language=language, language_score=score)


ENGLISH = Language(languages=("en",))
CASES = {
    "below": (ENGLISH, doc("en", 0.6499), Verdict("low_language_score", 0.6499, 0.65)),
    "at": (ENGLISH, doc("en", 0.65), None),
    "above": (ENGLISH, doc("en", 0.6501), None),
    "above_one": (ENGLISH, doc("en", 1.00001), None),
    "another": (ENGLISH, doc("de", 0.99), Verdict("wrong_language", 0.0, 1.0)),
    "another_and_low": (ENGLISH, doc("de", 0.1), Verdict("wrong_language", 0.0, 1.0)),
    "one_of_two": (Language(languages=("en", "de")), doc("de", 0.9), None),
    "all_kept": (Language(), doc("fr", 0.65), None),
    "all_kept_low": (Language(), doc("fr", 0.64), Verdict("low_language_score", 0.64, 0.65)),
    "label_only": (Language(min_score=None), doc("fr", 0.0), None),
}


@pytest.mark.parametrize("case", CASES)
def test_verdicts(case: str) -> None:
    stage, document, expected = CASES[case]
    assert stage(document) == expected


def test_every_reason_is_tested() -> None:
    tested = {verdict.reason for _, _, verdict in CASES.values() if verdict}
    assert tested == set(Language.reasons) - {Language.gate_reason}  # which has its own tests


def test_columns_of_own_labels(model: Path) -> None:
    stage = Language().setup({"lid176": model})
    found = stage.annotate(Document(text=KOREAN, id="1"))
    assert (found.id, found.text, found.language, found.language_script) == ("1", KOREAN, "ko", "")
    assert found.language_score > 0.99
    assert found.top_languages == (("ko", found.language_score),)
    mixed = stage.annotate(Document(text="ok"))
    assert len(mixed.top_languages) > 1
    assert mixed.top_languages[0] == (mixed.language, mixed.language_score)
    assert all(score >= 0.01 for _, score in mixed.top_languages)


def test_a_glance(model: Path) -> None:
    stage = Language(languages=("ko", "de"), gate=0.9).setup({"lid176": model})
    both, m = stage.glance(Document(text=f"{KOREAN} {GERMAN}", id="1", url="u"))
    assert (m.reason, m.threshold, m.bound) == ("unlikely_language", 0.9, "min")
    found = dict(stage.annotate(both).top_languages)
    assert m.value == pytest.approx(found.get("ko", 0) + found.get("de", 0), abs=1e-6)
    assert m.value == np.float32(m.value)
    assert (both.id, both.url, both.language, both.language_score) == ("1", "u", *stage_best(found))
    assert stage.glance(Document(text="Le moulin tourne depuis trois cents ans au bord de la rivière."))[1].failed


def stage_best(found: dict[str, float]) -> tuple[str, float]:
    return max(found.items(), key=lambda pair: pair[1])


@pytest.mark.parametrize(("text", "failed"), [(KOREAN, False), (GERMAN, True)])
def test_a_glance_knows_fineweb2_labels(text: str, failed: bool, model: Path) -> None:
    stage = Language(labels="fineweb2", languages=("kor_Hang",), gate=0.1).setup({"lid176": model})
    assert stage.glance(Document(text=text))[1].failed is failed


@pytest.mark.parametrize(("gate", "failed"), [(0.2, False), (0.25, False), (0.3, True)])
def test_a_gate_drops_below_only(gate: float, failed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Language, "_probabilities", lambda self, text: [("fr", 0.75), ("de", 0.125), ("en", 0.125)])
    _, m = Language(languages=("en", "de"), gate=gate).glance(Document(text="x"))
    assert (m.value, m.failed) == (0.25, failed)


def test_columns_of_fineweb2_labels(model: Path) -> None:
    stage = Language(labels="fineweb2", languages=("kor_Hang",)).setup({"lid176": model})
    found = stage.annotate(Document(text=KOREAN))
    assert (found.language, found.language_script, stage(found)) == ("kor_Hang", "Hang", None)
    assert stage(stage.annotate(Document(text=GERMAN))) == Verdict("wrong_language", 0.0, 1.0)
    assert stage.annotate(Document(text=GERMAN)).language == "deu_Latn"


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_any_text_gets_an_answer(model: Path, text: str) -> None:
    stage = Language().setup({"lid176": model})
    assert 0 < stage.annotate(Document(text=text)).language_score < 1.001


def test_lone_surrogates_get_an_answer(model: Path) -> None:
    assert Language().setup({"lid176": model}).annotate(Document(text="\ud800 x")).language != ""


def test_needs_and_deviations() -> None:
    stage = Language(model="glotlid", labels="fineweb2")
    assert (stage.files(), stage.libraries()) == (("glotlid",), ("fasttext-numpy2-wheel",))
    assert stage.deviations() == Language().deviations() == ()
    (words,) = Language(labels="fineweb2").deviations()
    assert "lid176" in words
    assert "0.65" in words
    (words,) = Language(languages=("en",), gate=0.1).deviations()
    assert "below 0.1" in words


WRONG = {
    "code_for_label": ({"labels": "fineweb2", "languages": ("ko",)}, "'ko' is no label such as 'kor_Hang'"),
    "code_for_glotlid": ({"model": "glotlid", "languages": ("ko",)}, "'ko' is no label such as 'kor_Hang'"),
    "label_for_code": ({"languages": ("kor_Hang",)}, "'kor_Hang' is none of lid.176's codes"),
    "unknown_code": ({"languages": ("xx",)}, "'xx' is none of lid.176's codes"),
    "gate_for_nothing": ({"gate": 0.1}, "gate = 0.1 drops pages unlikely to be in `languages`, which names none"),
    "gate_zero": ({"languages": ("en",), "gate": 0.0}, "gate = 0.0: a probability above 0 and up to 1"),
    "gate_above_one": ({"languages": ("en",), "gate": 1.01}, "gate = 1.01: a probability above 0 and up to 1"),
    "gate_nan": ({"languages": ("en",), "gate": float("nan")}, "gate = nan: a probability above 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_can_never_be(case: str) -> None:
    changes, words = WRONG[case]
    with pytest.raises(ValueError, match=words):
        Language(**changes)  # type: ignore[arg-type]


def test_the_table_covers_the_model(model: Path) -> None:
    assert set(load(model).labels) == set(LID176_TO_FINEWEB2)
    assert len(set(LID176_TO_FINEWEB2.values())) == 176


def test_the_table_names_fineweb2s_languages() -> None:
    """English is FineWeb's own; Serbo-Croatian and Emilian have no numbers there."""
    if not SHARED.is_dir():
        pytest.skip("the table of published thresholds is elsewhere")
    with gzip.open(SHARED / "fineweb2_thresholds.jsonl.gz") as lines:
        known = {json.loads(line)["language"] for line in lines}
    assert set(LID176_TO_FINEWEB2.values()) - known == {"eng_Latn", "hbs_Latn", "egl_Latn"}


@pytest.mark.parametrize(("folder", "golden"), [("realweb", "fineweb_verdicts"), ("koweb", "fineweb2_ko_verdicts")])
def test_scores_are_datatroves(model: Path, folder: str, golden: str) -> None:
    """On the golden texts: label and score (written with four digits) are datatrove's."""
    if not SHARED.is_dir():
        pytest.skip("the real pages are not part of the project")
    stage = Language().setup({"lid176": model})
    with gzip.open(SHARED / folder / f"{golden}.jsonl.gz") as lines:
        rows = [row for row in map(json.loads, lines) if row["text"]]
    for row in rows:
        found = stage.annotate(Document(text=row["text"]))
        assert (found.language, round(found.language_score, 4)) == (row["language"], row["language_score"]), row["url"]
        if folder == "koweb":
            korean = dataclasses.replace(stage, languages=("ko",))
            assert (korean(found) is None) is (row["verdicts"]["language"] == "keep")
    assert len(rows) == {"realweb": 580, "koweb": 223}[folder]


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"nothing of the sort")
    with pytest.raises(ModelError, match=r"model\.bin' is no fastText model"):
        FastText(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing.bin")
