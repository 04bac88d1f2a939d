"""Mends text that was decoded wrongly (mojibake), by the `ftfy` library."""

import functools
from dataclasses import dataclass, fields, replace
from typing import Literal

import ftfy

from schemas.records import Document
from schemas.stage import Edit

__all__ = ["Ftfy"]

_UNESCAPE: dict[str, str | bool] = {"auto": "auto", "always": True, "never": False}


@dataclass(frozen=True, kw_only=True)
class Ftfy(Edit):
    """FineWeb-2's ftfy edit (Penedo et al. 2025, arXiv 2506.20920), its defaults those of datatrove 0.10.1.

    What repairs encoding is on; what would press sound text into one form (straight quotes, ligatures, widths, line
    breaks, normalisation) is off. The parameters are those of `ftfy.TextFixerConfig`, which explains them.
    """

    unescape_html: Literal["auto", "always", "never"] = "auto"
    """`auto` leaves alone what holds a `<`."""
    remove_terminal_escapes: bool = True
    fix_encoding: bool = True
    restore_byte_a0: bool = True
    replace_lossy_sequences: bool = True
    decode_inconsistent_utf8: bool = True
    fix_c1_controls: bool = True
    fix_latin_ligatures: bool = False
    fix_character_width: bool = False
    uncurl_quotes: bool = False
    fix_line_breaks: bool = False
    fix_surrogates: bool = True
    remove_control_chars: bool = True
    normalization: Literal["NFC", "NFD", "NFKC", "NFKD"] | None = None

    def libraries(self) -> tuple[str, ...]:
        """ftfy decides what is written."""
        return ("ftfy",)

    def edit(self, doc: Document) -> Document:
        """The document with its text mended."""
        text = ftfy.fix_text(doc.text, config=_config(self))
        return doc if text == doc.text else replace(doc, text=text)


@functools.cache
def _config(stage: Ftfy) -> ftfy.TextFixerConfig:
    switches = {f.name: getattr(stage, f.name) for f in fields(stage)}
    return ftfy.TextFixerConfig(**{**switches, "unescape_html": _UNESCAPE[stage.unescape_html]})
