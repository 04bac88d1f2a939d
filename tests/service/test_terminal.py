"""Others' words on a terminal."""

import io
import json
import os

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.terminal import Terminal, plain, plain_json, whole

WORDS = {
    "harmless": ("https://한국.example/é?a=[b]&c=\\d", "https://한국.example/é?a=[b]&c=\\d"),
    "escape": ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
    "c0": ("\x00\x01\x1f\x20", "\\x00\\x01\\x1f "),
    "lines": ("a\r\n\tb", "a\\x0d\\x0a\\x09b"),
    "delete_and_c1": ("\x7e\x7f\x80\x9b\x9f\xa0", "~\\x7f\\x80\\x9b\\x9f\xa0"),
    "bidi": ("\u202a\u202e\u2066\u2069\u200e\u200f\u061c", "\\u202a\\u202e\\u2066\\u2069\\u200e\\u200f\\u061c"),
    "separators": ("\u2028\u2029", "\\u2028\\u2029"),
    "beside_bidi": ("\u200d\u2027\u202f\u2065\u206a", "\u200d\u2027\u202f\u2065\u206a"),
    "surrogate": ("\ud7ff\ud800\udfff\ue000", "\ud7ff\\ud800\\udfff\ue000"),
    "byte_order_mark": ("\ufeffa", "\\ufeffa"),
}


@pytest.mark.parametrize("case", WORDS)
def test_plain(case: str) -> None:
    given, wanted = WORDS[case]
    assert plain(given) == wanted
    assert plain(wanted) == wanted


@pytest.mark.parametrize("case", WORDS)
def test_plain_json_says_the_same(case: str) -> None:
    given, _ = WORDS[case]
    told = json.dumps({given: [given]}, ensure_ascii=False)
    line = plain_json(told)
    assert json.loads(line) == json.loads(json.dumps({given: [given]}))
    assert plain(line) == line
    assert (line == told) is (plain(told) == told)


@pytest.mark.parametrize("width", [10, 39, 40, 200])
def test_names_are_never_cut(width: int) -> None:
    out = io.StringIO()
    table = Table("stage", "what", box=None)
    table.columns[1].overflow = "fold"
    table.add_row(Text("a_name_of_some_thirty_characters"), "words that may be folded")
    Console(file=out, width=width).print(whole(table, 0), crop=False)
    assert "a_name_of_some_thirty_characters" in out.getvalue()
    assert "…" not in out.getvalue()


def test_a_reader_who_left_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as left:  # noqa: PTH123 (a descriptor)
        monkeypatch.setattr("sys.stdout", left)
        console = Terminal()
        console.print("one")
        console.print("two")
        left.write("three")
        left.flush()
    assert console.quiet
