"""Verdicts beside datatrove's: on real pages where they are at hand, on random texts where datatrove is installed."""

import gzip
import json
import random
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from curation import fineweb2
from curation.edits.ftfy import Ftfy
from curation.edits.pii import Pii
from curation.edits.symbol_lines import SymbolLines
from curation.rules.c4 import C4
from curation.rules.fineweb import FineWeb
from curation.rules.gopher_quality import GopherQuality
from curation.rules.gopher_repetition import GopherRepetition
from schemas.records import Document
from schemas.stage import Rewrite, Rule

DATA = Path(__file__).parents[4] / "shared" / "data"
KOREAN_EVERY = 16
"""Kiwi takes some 0.1 s a page: the test looks at every sixteenth."""

OURS: dict[str, dict[str, str]] = {
    "url": {
        "domain": "banned_domain",
        "subdomain": "banned_subdomain",
        "url": "banned_url",
        "hard_blacklisted": "banned_word",
        "soft_blacklisted": "soft_banned_words",
        "blacklisted_subword": "banned_subword",
    },
    "gopher_repetition": {
        "empty": "empty",
        "dup_para_frac": "duplicate_paragraphs",
        "dup_para_char_frac": "duplicate_paragraph_chars",
        "dup_line_frac": "duplicate_lines",
        "dup_line_char_frac": "duplicate_line_chars",
        **{f"top_{n}_gram": f"top_{n}_gram" for n in (2, 3, 4)},
        **{f"duplicated_{n}_n_grams": f"duplicate_{n}_grams" for n in range(5, 11)},
    },
    "gopher_quality": {
        "gopher_short_doc": "too_few_words",
        "gopher_long_doc": "too_many_words",
        "gopher_below_avg_threshold": "words_too_short",
        "gopher_above_avg_threshold": "words_too_long",
        "gopher_too_many_hashes": "too_many_hashes",
        "gopher_too_many_ellipsis": "too_many_ellipses",
        "gopher_too_many_bullets": "too_many_bullet_lines",
        "gopher_too_many_end_ellipsis": "too_many_ellipsis_lines",
        "gopher_below_alpha_threshold": "too_few_alphabetic_words",
        "gopher_enough_stop_words": "too_few_stop_words",
    },
    "c4": {
        "lorem_ipsum": "lorem_ipsum",
        "curly_bracket": "curly_bracket",
        "too_few_sentences": "too_few_sentences",
    },
    "fineweb": {
        "empty": "empty",
        "line_punct_ratio": "too_few_terminal_lines",
        "short_line_ratio": "too_many_short_lines",
        "char_dup_ratio": "duplicate_line_chars",
        "list_ratio": "too_many_newlines",
    },
}
"""datatrove 0.10.1's reason -> ours."""

MARKING = Pii(emails=("E",), ips=("I",))
MASKED, REWRITTEN = 18, 297
"""Real pages that the two edits changed."""

ENGLISH: dict[str, Rule | Rewrite] = {
    "gopher_repetition": GopherRepetition(),
    "gopher_quality": GopherQuality(),
    "c4": C4(),
    "fineweb": FineWeb(),
}


def korean() -> dict[str, Rule | Rewrite]:
    """FineWeb-2's rules: the language's numbers, and what it sets for all languages."""
    numbers = fineweb2.stage_defaults("kor_Hang")
    off = {"max_duplicate_paragraphs": None, "max_duplicate_paragraph_chars": None, "max_duplicate_line_chars": None}
    return {
        "gopher_repetition": GopherRepetition(**numbers["gopher_repetition"], **off),
        "fineweb": FineWeb(**numbers["fineweb"], max_short_lines=None, max_duplicate_line_chars=0.1),
        "gopher_quality": GopherQuality(**numbers["gopher_quality"]),
    }


def reason(rule: Rule | Rewrite, text: str) -> str:
    verdict = rule(Document(text=text))
    return verdict.reason if verdict else "keep"


def golden(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the golden verdicts {name} are not at hand")
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def disagreements(rows: list[dict[str, Any]], rules: Mapping[str, Rule | Rewrite]) -> tuple[int, list[tuple[str, ...]]]:
    """How many verdicts were compared, and those that differ: (rule, URL, datatrove's, ours)."""
    compared, found = 0, []
    for row in rows:
        for name, rule in rules.items():
            if name in row["verdicts"]:
                theirs = OURS[name].get(row["verdicts"][name], row["verdicts"][name])
                ours = reason(rule, row["text"])
                compared += 1
                if ours != theirs:
                    found.append((name, row["url"], theirs, ours))
    return compared, found


def test_every_reason_has_its_counterpart() -> None:
    for name, rule in ENGLISH.items():
        assert set(OURS[name].values()) == set(rule.reasons)


def test_verdicts_on_real_pages() -> None:
    rows = golden("realweb/fineweb_verdicts.jsonl.gz")
    assert disagreements(rows, ENGLISH) == (4 * 580, [])


def marked(text: str) -> str:
    """The text with datatrove's replacements, which it takes in turn, made one of a kind."""
    for mark, replacements in (("E", Pii().emails), ("I", Pii().ips)):
        for replacement in replacements:
            text = text.replace(replacement, mark)
    return text


def test_edits_on_real_pages() -> None:
    c4, masked, rewritten = C4(), 0, 0
    for row in golden("realweb/fineweb_verdicts.jsonl.gz"):
        doc = Document(text=row["text"])
        if row.get("pii_text") is not None:
            masked += 1
            assert MARKING.mask(doc.text) == marked(row["pii_text"]), row["url"]
        elif row["text"]:
            assert MARKING.mask(doc.text) == marked(row["text"]), row["url"]
        if row["verdicts"].get("c4") == "keep":
            rewritten += row["c4_text"] is not None
            assert c4.rewrite(doc)[0].text == (row["text"] if row["c4_text"] is None else row["c4_text"]), row["url"]
    assert (masked, rewritten) == (MASKED, REWRITTEN)


def test_korean_verdicts_on_real_pages() -> None:
    if not find_spec("kiwipiepy"):
        pytest.skip("Korean needs kiwipiepy")
    rows = [row for row in golden("koweb/fineweb2_ko_verdicts.jsonl.gz") if "fineweb" in row["verdicts"]]
    compared, found = disagreements(rows[::KOREAN_EVERY], korean())
    assert found == []
    assert compared == 3 * len(rows[::KOREAN_EVERY])


def test_korean_edits_on_real_pages() -> None:
    for row in golden("koweb/fineweb2_ko_verdicts.jsonl.gz"):
        doc = SymbolLines().edit(MARKING.edit(Ftfy().edit(Document(text=row["text"]))))
        edited = row.get("edited_text")
        assert doc.text == marked(row["text"] if edited is None else edited), row["url"]


PIECES = (
    *("a", "the", "of", "be", "to", "and", "word", "longerword", "1", "12", "don't", "(x)", "e.g.", "U.S.", "$5"),
    *("#", "...", "…", "-", "•", ".", "!", "? ", "।", "。", "“", '"', '."', "１", "—", "[1]", "[edit]", "{", "|"),
    *("\n", "\n", "\n\n", "\n\n\n", "...\n", "\r\n", "\x85", "\u2028", "\x1c", "\xa0", "\t", "\x00", "  "),
    *("javascript", "lorem ipsum", "[citation needed]", "Use cookies", "privacy policy", "한국어", "中文", "😀"),
    *("a@b.org", "8.8.8.8", "10.0.0.1", "&amp;", "Ã©", "â€™"),
)


def random_texts(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    texts = []
    for _ in range(count):
        pieces = chance.sample(PIECES, chance.randint(2, 10)) if chance.random() < 0.5 else PIECES
        length = chance.randint(0, 80)
        texts.append("".join(chance.choice(pieces) + chance.choice(("", " ", " ")) for _ in range(length)))
    return texts


def theirs(name: str, **parameters: object) -> Any:
    filters = pytest.importorskip("datatrove.pipeline.filters", reason="datatrove is missing; it is in the extra `dev`")
    return getattr(filters, name)(**parameters)


FUZZED: dict[str, tuple[str, dict[str, object], Rule | Rewrite]] = {
    "gopher_repetition": ("GopherRepetitionFilter", {}, GopherRepetition()),
    "gopher_quality": ("GopherQualityFilter", {"min_doc_words": 3}, GopherQuality(min_words=3)),
    "c4": (
        "C4QualityFilter",
        {"filter_no_terminal_punct": False, "min_num_sentences": 2},
        C4(min_sentences=2),
    ),
    "fineweb": ("FineWebQualityFilter", {}, FineWeb()),
}


@pytest.mark.parametrize("name", FUZZED)
def test_verdicts_on_random_texts(name: str) -> None:
    kind, parameters, rule = FUZZED[name]
    peer = theirs(kind, **parameters)
    document = pytest.importorskip("datatrove.data").Document
    for text in random_texts(7, 500):
        doc = document(text=text, id="")
        answer = peer.filter(doc)
        expected = "keep" if answer is True else OURS[name][answer[1]]
        assert reason(rule, text) == expected, ascii(text)
        if isinstance(rule, Rewrite):
            assert rule.rewrite(Document(text=text))[0].text == doc.text, ascii(text)
