"""Removes lines that hold nothing but certain symbols."""

from dataclasses import dataclass, replace

from schemas.records import Document
from schemas.stage import Edit

__all__ = ["SymbolLines"]


@dataclass(frozen=True, kw_only=True)
class SymbolLines(Edit):
    """FineWeb-2's last edit (Penedo et al. 2025, arXiv 2506.20920): lines of `|`, left over from tables, go.

    As datatrove 0.10.1's `SymbolLinesFormatter(symbols_to_remove=["|"], replace_char="\\n")`: a line of nothing but
    `symbols` and blanks is removed, a run of such lines leaves `replacement` behind (as a line of its own: `\\n` makes
    two empty ones). Lines of blanks alone stay. Whatever `str.splitlines` takes for a line's end becomes `\\n`, and the
    text's last one goes.
    """

    symbols: str = "|"
    """Each of its characters is a symbol."""
    replacement: str = "\n"
    """Empty: nothing is left behind."""

    def edit(self, doc: Document) -> Document:
        """The document without those lines."""
        kept: list[str] = []
        removing = False
        for line in doc.text.splitlines():
            symbols = bool(line.strip()) and not line.strip(self.symbols + " ")
            if not symbols:
                kept.append(line)
            elif not removing and self.replacement:
                kept.append(self.replacement)
            removing = symbols
        text = "\n".join(kept)
        return doc if text == doc.text else replace(doc, text=text)
