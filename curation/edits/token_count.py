"""Fills `token_count`, by a tokenizer or by an estimate."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from tokenizers import Tokenizer

from schemas.records import Document
from schemas.stage import Edit

__all__ = ["TokenCount", "TokenizerError"]


class TokenizerError(ValueError):
    """A `tokenizer.json` that can't be used."""


@dataclass(frozen=True, kw_only=True)
class TokenCount(Edit):
    """Counts the tokens of the text, without special ones, as datatrove's `TokensCounter` does for GPT-2's tokenizer.

    Without a tokenizer it is an estimate: UTF-8 bytes / 4, rounded up. Texts longer than `piece` characters are counted
    in pieces, cut before white space where there is some in the last quarter of a piece, so that memory stays bounded
    (a token takes about 100 bytes on its way); that can change the count by one a piece.
    """

    tokenizer: str = ""
    """A `tokenizer.json`, by the registry's name or by its path; empty: the estimate."""
    piece: int = 200_000
    """Characters."""
    _tokenizer: Tokenizer | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuses pieces too short to cut."""
        if self.piece < 4:
            raise ValueError(f"token_count.piece is {self.piece!r}; it must be at least 4 characters")

    def files(self) -> tuple[str, ...]:
        """The tokenizer, if any."""
        return (self.tokenizer,) if self.tokenizer else ()

    def libraries(self) -> tuple[str, ...]:
        """`tokenizers`, if it counts."""
        return ("tokenizers",) if self.tokenizer else ()

    def setup(self, files: Mapping[str, Path]) -> Self:
        """Loads the tokenizer; its truncation and padding are switched off.

        Raises:
          TokenizerError: the file can't be read or is no tokenizer.
        """
        if not self.tokenizer:
            return self
        tokenizer = Tokenizer.from_str(_read(files[self.tokenizer]))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return replace(self, _tokenizer=tokenizer)

    def edit(self, doc: Document) -> Document:
        """The document with its count."""
        return replace(doc, token_count=self.count(doc.text))

    def count(self, text: str) -> int:
        """Tokens of a text; 0 for the empty one.

        Raises:
          RuntimeError: a tokenizer was asked for and not loaded.
        """
        if not self.tokenizer:
            return -(-len(text.encode("utf-8", "surrogatepass")) // 4)
        if self._tokenizer is None:
            raise RuntimeError(f"token_count was asked before {self.tokenizer!r} was loaded; call setup first")
        sound = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates, which the library refuses
        return sum(
            len(self._tokenizer.encode(part, add_special_tokens=False).ids) for part in pieces(sound, self.piece)
        )


def _read(path: Path) -> str:
    """The file's text, once it is known to have a tokenizer's shape; the library's own errors are bare `Exception`s."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except (OSError, ValueError) as error:
        raise TokenizerError(f"the tokenizer {str(path)!r} can't be read: {error}") from error
    if not isinstance(content, dict) or "model" not in content:
        raise TokenizerError(f"{str(path)!r} is no tokenizer.json: a JSON object with a `model` was expected")
    return text


def pieces(text: str, size: int) -> Iterator[str]:
    """Cuts a text into parts of at most `size` characters, before the last white space in their last quarter.

    Where a tokenizer splits at white space anyway, such a cut changes no token; text without any is cut at `size`.
    """
    start = 0
    while len(text) - start > size:
        earliest = start + size - size // 4
        cut = next((i for i in range(start + size, earliest, -1) if text[i] in " \n" and not text[i - 1].isspace()), 0)
        cut = cut or start + size
        yield text[start:cut]
        start = cut
    yield text[start:]
