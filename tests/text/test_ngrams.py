import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import text.ngrams
from text.ngrams import Ngrams, duplicate_ngram_chars, top_ngram_chars

ROOT = Path(text.ngrams.__file__).parents[1]


def top_slowly(words: list[str], n: int) -> int:
    counts = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    if not counts:
        return 0
    ngram, count = counts.most_common(1)[0]
    return len(ngram) * count


def duplicate_slowly(words: list[str], n: int) -> int:
    seen: set[str] = set()
    chars = at = 0
    while at < len(words) - n + 1:
        ngram = "".join(words[at : at + n])
        if ngram in seen:
            chars += len(ngram)
            at += n
        else:
            seen.add(ngram)
            at += 1
    return chars


# words, n, top, duplicate
CASES = {
    "no_words": ("", 2, 0, 0),
    "fewer_than_n": ("a b", 3, 0, 0),
    "exactly_n": ("a b", 2, 3, 0),
    "a_count_of_one_counts": ("aa b c", 2, 4, 0),
    "twice": ("a b a b", 2, 6, 2),
    "first_seen_wins_a_tie": ("a bbb c a bbb c", 2, 10, 4),
    "shorter_first_seen_wins_a_tie": ("a b cccc a b cccc", 2, 6, 2),
    "a_hit_skips_n_words": ("a a a a a a", 2, 15, 4),
    "joined_by_nothing_is_ambiguous": ("ab c x a bc", 2, 4, 3),
    "joined_by_a_space_is_not": ("ab c ab c a bc", 2, 8, 6),
    "one_word": ("a b a", 1, 2, 1),
}


@pytest.mark.parametrize(("words", "n", "top", "duplicate"), CASES.values(), ids=CASES)
def test_ngrams(words: str, n: int, top: int, duplicate: int) -> None:
    assert top_ngram_chars(words.split(), n) == top == top_slowly(words.split(), n)
    assert duplicate_ngram_chars(words.split(), n) == duplicate == duplicate_slowly(words.split(), n)


@pytest.mark.parametrize("n", [0, -1])
def test_n_below_one_is_an_error(n: int) -> None:
    with pytest.raises(ValueError, match=repr(n)):
        Ngrams(["a"]).top_chars(n)
    with pytest.raises(ValueError, match=repr(n)):
        Ngrams(["a"]).duplicate_chars(n)


few_words = st.lists(st.sampled_from(["a", "b", "ab", "ba", "aab", "a b", "", "한", "👍", "\ud800"]), max_size=60)


@settings(deadline=None)
@given(st.one_of(few_words, st.lists(st.text(max_size=3), max_size=30)), st.integers(1, 11))
def test_ngrams_equal_the_slow_form(words: list[str], n: int) -> None:
    ngrams = Ngrams(words)
    assert ngrams.top_chars(n) == top_slowly(words, n)
    assert ngrams.duplicate_chars(n) == duplicate_slowly(words, n)


def test_equal_hashes_do_not_make_ngrams_equal() -> None:
    # the Thue-Morse sequence and its complement have equal polynomial hashes modulo 2^64, whatever the base
    thue_morse = "".join("ab"[number.bit_count() % 2] for number in range(2048))
    words = [thue_morse, "x", thue_morse.translate(str.maketrans("ab", "ba")), "x"]
    assert top_ngram_chars(words, 1) == 2
    assert duplicate_ngram_chars(words, 2) == 0


@pytest.mark.parametrize("cache", ["user", "none"])
def test_kernels_work_where_the_source_is_read_only(cache: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "text", tmp_path / "text", ignore=shutil.ignore_patterns("__pycache__"))
    # numba looks for a folder that it may write; as root all are, so a file of that name bars the way
    (tmp_path / "text" / "__pycache__").write_text("")
    home = tmp_path / "home"
    home.mkdir() if cache == "user" else home.write_text("")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))} | {"HOME": str(home)}
    code = "from text.ngrams import top_ngram_chars; print(top_ngram_chars('a b a b'.split(), 2))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("6\n", 0), done.stderr
    assert bool(list(home.rglob("*.nbi"))) == (cache == "user")
