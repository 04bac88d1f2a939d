"""How well a tokenizer fits texts: bytes a token by language, what falls apart into bytes, and what is used."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.tokenizer.tokenizer import Tokenizer

_BATCH_BYTES = 2**20
_REPLACEMENT_BYTES = "ï¿½"
"""U+FFFD itself, as a byte-level vocabulary writes its three bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """One language's figures. Shares are of tokens."""

    language: str
    documents: int
    bytes: int
    """UTF-8, of the texts as they are."""
    tokens: int
    """Of the texts alone, without BOS and EOS."""
    bytes_per_token: float
    bytes_share: float
    """Tokens that are no whole characters, but bytes of one: what falls outside the vocabulary, or is cut unluckily."""
    unknown_share: float
    """Tokens of the unknown id; 0 where bytes can say everything."""
    used: int
    """Different ids that occur."""
    used_share: float
    """The same, of all ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerReport:
    """All languages, the one with most bytes first."""

    tokenizer_sha256: str
    vocabulary: int
    """Ids, added tokens included."""
    languages: tuple[Fit, ...]
    total: Fit

    def json(self) -> str:
        """As one JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False)

    def table(self) -> str:
        """As lines of text, for people."""
        heads = (
            "language",
            "documents",
            "bytes",
            "tokens",
            "bytes/token",
            "bytes of characters",
            "unknown",
            "ids used",
        )
        lines = [heads, *(_cells(fit) for fit in (*self.languages, self.total))]
        widths = [max(len(line[n]) for line in lines) for n in range(len(heads))]
        return "\n".join("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines)


def measure(rows: Iterable[tuple[str, str]], tokenizer: Tokenizer) -> TokenizerReport:
    """Encodes texts and counts.

    Args:
      rows: (language, text) each, such as the shards' columns.
      tokenizer: whose fit it is.
    """
    kinds = _Kinds.of(tokenizer)
    counts: dict[str, _Counts] = {}
    for batch in _batches(rows):
        for (language, text), ids in zip(batch, tokenizer.encode_texts([text for _, text in batch]), strict=True):
            if language not in counts:
                counts[language] = _Counts(np.zeros(tokenizer.largest_id + 1, np.bool_))
            counts[language].add(text, np.array(ids, np.int64), kinds)
    total = _Counts(np.zeros(tokenizer.largest_id + 1, np.bool_))
    for one in counts.values():
        total.merge(one)
    ordered = sorted(counts.items(), key=lambda item: (-item[1].bytes, item[0]))
    return TokenizerReport(
        tokenizer_sha256=tokenizer.sha256,
        vocabulary=kinds.vocabulary,
        languages=tuple(one.fit(language, kinds.vocabulary) for language, one in ordered),
        total=total.fit("all", kinds.vocabulary),
    )


@dataclass(frozen=True, slots=True)
class _Kinds:
    """What ids are, [largest id + 1]."""

    partial: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    vocabulary: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "_Kinds":
        partial = np.zeros(tokenizer.largest_id + 1, np.bool_)
        unknown = partial.copy()
        tokens = tokenizer.tokens()
        for number, token in tokens.items():
            # bytes of a character decode to U+FFFD on their own
            partial[number] = "\N{REPLACEMENT CHARACTER}" in tokenizer.decode([number]) and (
                _REPLACEMENT_BYTES not in token
            )
        if tokenizer.unknown_id is not None:
            unknown[tokenizer.unknown_id] = True
        return cls(partial, unknown, len(tokens))


@dataclass(slots=True)
class _Counts:
    used: NDArray[np.bool_]
    documents: int = 0
    bytes: int = 0
    tokens: int = 0
    partial: int = 0
    unknown: int = 0

    def add(self, text: str, ids: NDArray[np.int64], kinds: _Kinds) -> None:
        self.documents += 1
        self.bytes += len(text.encode())
        self.tokens += len(ids)
        self.partial += int(kinds.partial[ids].sum())
        self.unknown += int(kinds.unknown[ids].sum())
        self.used[ids] = True

    def merge(self, other: "_Counts") -> None:
        self.documents += other.documents
        self.bytes += other.bytes
        self.tokens += other.tokens
        self.partial += other.partial
        self.unknown += other.unknown
        self.used |= other.used

    def fit(self, language: str, vocabulary: int) -> Fit:
        used, tokens = int(self.used.sum()), max(1, self.tokens)
        return Fit(
            language=language,
            documents=self.documents,
            bytes=self.bytes,
            tokens=self.tokens,
            bytes_per_token=self.bytes / tokens,
            bytes_share=self.partial / tokens,
            unknown_share=self.unknown / tokens,
            used=used,
            used_share=used / vocabulary,
        )


def _batches(rows: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Rows of about `_BATCH_BYTES` characters together."""
    batch: list[tuple[str, str]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row[1])
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _cells(fit: Fit) -> tuple[str, ...]:
    return (
        fit.language or "(none)",
        f"{fit.documents:,}",
        f"{fit.bytes:,}",
        f"{fit.tokens:,}",
        f"{fit.bytes_per_token:.3f}",
        f"{fit.bytes_share:.2%}",
        f"{fit.unknown_share:.2%}",
        f"{fit.used:,} ({fit.used_share:.1%})",
    )
