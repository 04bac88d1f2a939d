"""Words of any language by Unicode alone: runs of letters and digits, and single marks.

No language's own rules: a stand-in where FineWeb-2's segmenter would need a library or a model of its own. Scripts that
write no spaces between words are cut by character, combining marks kept with it, which makes n-gram rules and MinHash
work there but counts more and shorter words than a dictionary would.
"""

import regex

__all__ = ["words"]

_SPACELESS = "".join(
    rf"\p{{Script={script}}}"
    for script in ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")
)
_JOINERS = "\u200c\u200d"
# V1 has set difference. \x1c to \x1f are white space to Python, but not to Unicode. Possessive quantifiers never give
# back, so no text takes more than linear time.
_LETTERS = rf"[\w--[{_SPACELESS}]]++"
_WORD = regex.compile(
    rf"[{_SPACELESS}][\p{{M}}{_JOINERS}]*+|{_LETTERS}(?:[{_JOINERS}]{_LETTERS})*+|[^\s\x1c-\x1f\w]",
    regex.VERSION1,
)


def words(text: str) -> list[str]:
    """Returns runs of letters, digits and `_`, characters of scripts without spaces, and single other signs."""
    return _WORD.findall(text)
