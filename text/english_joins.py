"""Exceptions that the rules cut before anyone could recognise them: `foo` `:` `)` becomes `foo` `:)`.

Source: spaCy 3.8's tokenizer, which looks for its exceptions once more among the words of the whole text.
"""

from __future__ import annotations

from functools import lru_cache

from text.english_rules import Chunker, chunker

__all__ = ["LONGEST", "Joiner", "joiner"]

LONGEST = 12
"""No exception is cut into more words."""


class _Node:
    """A step in the tree of word sequences; `whole` is the exception that ends here."""

    __slots__ = ("awaited", "next", "whole")

    def __init__(self) -> None:
        self.next: dict[str, _Node] = {}
        self.awaited: frozenset[str] = frozenset()
        self.whole = ""


class Joiner:
    """Finds sequences of words that the rules made of an exception, and puts the exception's own words in place."""

    def __init__(self, rules: Chunker) -> None:
        self._special = rules.special
        self._root = _Node()
        self.concerned: set[str] = set()
        """Words of which the sequences are made; others need no look."""
        self._later: set[str] = set()
        """Words that can be the second or a later one of a sequence."""
        plain = Chunker({})
        for whole in rules.special:
            parts = plain.cut(whole) if plain.obeys_rules(whole) else ()
            if len(parts) < 2:  # nothing to join; a sign that is an exception to itself changes nothing
                continue
            node = self._root
            for part in parts:
                node.awaited |= {part}
                node = node.next.setdefault(part, _Node())
            node.whole = whole
            assert len(parts) <= LONGEST, whole
            self._later.update(parts[1:])
            self.concerned.update(parts)

    def may_end(self, part: str) -> bool:
        """Tells whether `part`, the first word of a chunk, could continue a sequence begun before it."""
        return part in self._later

    def awaited(self, parts: tuple[str, ...]) -> frozenset[str]:
        """Returns the words that, following a chunk's `parts`, would continue a sequence begun in them."""
        last = self._root.next.get(parts[-1])
        found = last.awaited if last else frozenset()
        for start in range(max(0, len(parts) - LONGEST), len(parts) - 1):
            node = self._root.next.get(parts[start])
            for part in parts[start + 1 :] if node else ():
                node = node.next.get(part) if node else None
            if node:
                found |= node.awaited
        return found

    def crosses(self, parts: list[str], border: int) -> bool:
        """Tells whether a sequence among `parts` begins before the index `border` and ends after it."""
        return any(start < border < end for start, end in self._spans(parts))

    def _spans(self, parts: list[str]) -> list[tuple[int, int]]:
        spans = []
        for start, part in enumerate(parts):
            node = self._root.next.get(part)
            end = start + 1
            while node and end < len(parts) and (node := node.next.get(parts[end])):
                end += 1
                if node.whole:
                    spans.append((start, end))
        return spans

    def join(self, parts: list[str], spaced: list[bool]) -> tuple[list[str], list[bool]]:
        """Returns the words with the exceptions put together, and whether a space follows each.

        The longest sequence wins, the first of equally long ones. As in the source, a sequence with spaces inside
        (`: )`) is no exception, yet keeps shorter ones that overlap it from being put together, and so does one that
        was itself kept out.
        """
        spans = self._spans(parts)
        if not spans:
            return parts, spaced
        taken: set[int] = set()
        chosen: dict[int, int] = {}
        for start, end in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
            if start not in taken and end - 1 not in taken and not any(spaced[start : end - 1]):
                chosen[start] = end
            taken.update(range(start, end))
        joined: list[str] = []
        after: list[bool] = []
        at = 0
        while at < len(parts):
            end = chosen.get(at, at + 1)
            joined.extend(self._special["".join(parts[at:end])] if at in chosen else parts[at:end])
            after.extend([False] * (len(joined) - len(after)))
            after[-1] = spaced[end - 1]
            at = end
        return joined, after


@lru_cache(maxsize=1)
def joiner() -> Joiner:
    """Returns the process's joiner for the English exceptions."""
    return Joiner(chunker())
