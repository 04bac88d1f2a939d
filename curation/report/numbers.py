"""Numbers as people read them, in English and Korean."""

from collections.abc import Sequence

_UNITS: dict[str, Sequence[tuple[float, str]]] = {
    "en": ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")),
    "ko": ((1e12, "조"), (1e8, "억"), (1e4, "만")),
}
_BYTES = ("TB", "GB", "MB", "KB")


def count(number: int) -> str:
    """1234567 as `1,234,567`."""
    return f"{number:,}"


def compact(number: float, language: str) -> str:
    """1234567 as `1.23M` or `123만`; below the first unit as it is."""
    for size, unit in _UNITS[language]:
        if number >= size * 0.9995:
            return f"{_three_digits(number / size)}{unit}"
    return f"{number:,.0f}"


def size(number: int) -> str:
    """Bytes in decimal units: 1234567 as `1.23 MB`."""
    for power, unit in zip((12, 9, 6, 3), _BYTES, strict=True):
        if number >= 10**power * 0.9995:
            return f"{_three_digits(number / 10**power)} {unit}"
    return f"{number:,} B"


def percent(part: int, whole: int) -> str:
    """A share as `12.3%`, never rounded to 0% or 100% unless it is; a dash where there is no whole."""
    if whole == 0:
        return "–"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "<0.1%"
    if 99.9 < share < 100:
        return ">99.9%"
    return f"{share:.1f}%".replace(".0%", "%")


def measured(value: float) -> str:
    """A rule's value or threshold: whole numbers as counts, others with three digits that matter."""
    if value.is_integer() and abs(value) < 1e15:
        return count(int(value))
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _three_digits(number: float) -> str:
    text = f"{number:.2f}" if number < 9.995 else f"{number:.1f}" if number < 99.95 else f"{number:,.0f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
