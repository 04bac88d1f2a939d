"""English words: what a blank English spaCy tokenizer says, without spaCy.

Source: the tokenizer of spaCy 3.8 as datatrove 0.10.1 uses it for FineWeb (words stripped, empty ones dropped), checked
against it word by word (see tests). A text is cut at white space into chunks; a chunk is cut by `text.english_rules`,
and remembered; words that joined make up an exception after all are put together by `text.english_joins`. They lie
within one chunk but for the rare pair of chunks that looks like an exception with a space in it (`: )`).
"""

from itertools import chain, pairwise

from text.english_joins import LONGEST, joiner
from text.english_rules import chunker

__all__ = ["forget", "tokens", "words"]

_CACHE_WEIGHT = 32_000_000
"""About the bytes that remembered chunks may take; beyond it they are forgotten all at once."""


class _Chunks(dict[str, tuple[str, ...]]):
    """The words of each chunk met so far, cut on demand."""

    def __init__(self) -> None:
        self._rules = chunker()
        self._joiner = joiner()
        self._unjoined: dict[str, tuple[str, ...]] = {}
        self._opens: dict[str, frozenset[str]] = {}
        self._ends: dict[str, str] = {}
        self.weight = 0

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        self.weight += 200 + 10 * len(chunk)
        parts = joined = self._rules.cut(chunk)
        if self._joiner.concerned.isdisjoint(parts):  # three chunks in four
            self[chunk] = parts
            return parts
        if len(parts) > 1:
            joined = tuple(self._joiner.join(list(parts), [False] * len(parts))[0])
        self[chunk] = joined
        if joined != parts:
            self._unjoined[chunk] = parts
        if awaited := self._joiner.awaited(parts):
            self._opens[chunk] = awaited
        if self._joiner.may_end(parts[0]):
            self._ends[chunk] = parts[0]
        return joined

    def cross(self, runs: list[str]) -> bool:
        """Tells whether words that joined would be an exception reach from one of the `runs` into the next."""
        if self._ends.keys().isdisjoint(runs):
            return False
        opens, ends = self._opens, self._ends
        return any(
            b in ends and a in opens and ends[b] in opens[a] and self._cross_at(runs, at)
            for at, (a, b) in enumerate(pairwise(runs))
        )

    def _cross_at(self, runs: list[str], at: int) -> bool:
        parts = list(self.unjoined(runs[at]))
        border = len(parts)
        for run in runs[at + 1 : at + LONGEST]:
            parts.extend(self.unjoined(run)[:LONGEST])
        return self._joiner.crosses(parts[max(0, border - LONGEST) :], min(border, LONGEST))

    def unjoined(self, chunk: str) -> tuple[str, ...]:
        """Returns the words of a chunk as the rules cut it."""
        return self._unjoined.get(chunk) or self[chunk]


class _Memory:
    """Holds this process's chunks; a text keeps the ones it began with even if another thread replaces them."""

    def __init__(self) -> None:
        self._chunks: _Chunks | None = None

    def chunks(self) -> _Chunks:
        chunks = self._chunks
        if chunks is None or chunks.weight > _CACHE_WEIGHT:
            chunks = self._chunks = _Chunks()
        return chunks

    def forget(self) -> None:
        self._chunks = None


_memory = _Memory()


def forget() -> None:
    """Forgets the chunks met so far; words stay the same, only memory and time change."""
    _memory.forget()


def words(text: str) -> list[str]:
    """Returns the words of an English text, punctuation marks included, white space excluded.

    Every text gets an answer; the time is linear in its length. No word is empty or holds white space.
    """
    chunks = _memory.chunks()
    runs = text.split()
    found = list(chain.from_iterable([chunks[run] for run in runs]))
    if not chunks.cross(runs):
        return found
    return [token for token in tokens(text)[0] if not token.isspace()]


def tokens(text: str) -> tuple[list[str], list[bool]]:
    """Returns all of a text's tokens, white space included but for single spaces, and whether one follows each.

    `token + " " * spaced` over both, joined, is the text again. Sentences need the white space.
    """
    chunks = _memory.chunks()
    runs = text.split()
    for run in runs:
        chunks[run]
    cross = chunks.cross(runs)
    parts: list[str] = []
    spaced: list[bool] = []
    end = 0
    for run in runs:
        start = text.index(run, end)
        if start > end:
            _add_space(parts, spaced, text[end:start])
        found = chunks.unjoined(run) if cross else chunks[run]
        parts.extend(found)
        spaced.extend([False] * len(found))
        end = start + len(run)
    _add_space(parts, spaced, text[end:])
    return joiner().join(parts, spaced) if cross else (parts, spaced)


def _add_space(parts: list[str], spaced: list[bool], space: str) -> None:
    """Adds the white space after the tokens so far: a first space belongs to the token before it."""
    if parts and space.startswith(" "):
        spaced[-1] = True
        space = space[1:]
    if space:
        parts.append(space)
        spaced.append(False)
