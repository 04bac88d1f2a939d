"""Korean words as FineWeb-2 cuts them: slices of the text at the token bounds of Kiwi's `sbg` model.

Source: `KiwiTokenizer` of datatrove 0.10.1. Needs kiwipiepy below 0.22 (the extra `korean`): 0.22 left the model out.
The model takes about 3 s and 530 MB to load, once a process and only when the first text comes.
"""

import re
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

__all__ = ["load", "require", "words"]

_MODEL = "sbg"
# Kiwi is said to fail on very long numbers; the reference takes them out before, so this does.
_LONG_NUMBER = re.compile("[0-9,]{20,}")


def require() -> None:
    """Checks that Korean can be cut here, without loading the model.

    Raises:
        ImportError: kiwipiepy is missing, or is a version without the model.
    """
    try:
        found = version("kiwipiepy")
    except PackageNotFoundError as error:
        raise ImportError(
            "Korean words need kiwipiepy below 0.22, which isn't installed: pip install 'gristmill[korean]' "
            "(or choose the segmenter 'unicode', a deviation from FineWeb-2)"
        ) from error
    if tuple(map(int, found.split(".")[:2])) >= (0, 22):
        raise ImportError(
            f"Korean words need the model {_MODEL!r}, which kiwipiepy {found!r} no longer carries: "
            "pip install 'gristmill[korean]', which takes a version below 0.22"
        )


@lru_cache(maxsize=1)
def _kiwi() -> Any:
    require()
    from kiwipiepy import Kiwi  # heavy and optional

    return Kiwi(model_type=_MODEL)


def load() -> None:
    """Loads the model now.

    Raises:
        ImportError: as `require`.
    """
    _kiwi()


def words(text: str) -> list[str]:
    """Returns the words of a Korean text: morphemes as they stand in it, particles and endings on their own.

    Two morphemes in one syllable (`갔` = `가` + `었`) give that syllable twice. Where the text holds 20 or more digits
    and commas in a row, they are taken out before Kiwi sees it, but its bounds are applied to the whole text, so that
    every word after them is cut that much too early: a flaw of the reference, kept for the sake of equality.

    Raises:
        ImportError: as `require`.
    """
    slices = (text[token.start : token.end].strip() for token in _kiwi().tokenize(_LONG_NUMBER.sub("", text)))
    return [word for word in slices if word]
