"""English sentences: what spaCy's rule-based sentencizer says over a blank English tokenizer, without spaCy.

Source: the sentencizer of spaCy 3.8 as datatrove 0.10.1 asks it for C4's rule. After a token that ends sentences, the
first one that is no mark begins the next; white space longer than a space is such a token, too, so `Ho.  ` has two.
"""

import re
import unicodedata
from itertools import pairwise

from text.codepoints import character_class, expand
from text.english import tokens, words
from text.punctuation import TERMINAL_PUNCTUATION

__all__ = ["count_sentences", "sentences"]

# An older list of Unicode's than the fineweb rules have.
_ENDS = TERMINAL_PUNCTUATION - set(
    expand(
        "61d-61e 837 839 83d-83e 17d4-17d6 17d9-17da 1b7d-1b7e 2e53-2e54 10f55-10f59 10f86-10f89 11944 11946 "
        "11ef7-11ef8 11f43-11f44 16e98"
    )
)
_END = re.compile(f"[{character_class(_ENDS)}]")


def _starts(found: list[str]) -> list[int]:
    """Returns the index of the first token of every sentence but the first."""
    starts = []
    ended = False
    for at, token in enumerate(found):
        if token in _ENDS:
            ended = True
        elif ended and not all(unicodedata.category(char).startswith("P") for char in token):
            starts.append(at)
            ended = False
    return starts


def count_sentences(text: str) -> int:
    """Returns `len(sentences(text))`, sooner: at least 1."""
    if not _END.search(text):
        return 1
    plain = " ".join(text.split()) == text  # then no token is white space
    return 1 + len(_starts(words(text) if plain else tokens(text)[0]))


def sentences(text: str) -> list[str]:
    """Returns the sentences of a line or text, with the white space between; joined, they are the text again.

    The space before a sentence belongs to it, as datatrove slices. An empty text is one empty sentence.
    """
    found, spaced = tokens(text)
    # position after each token, the space that follows it not included
    ends, position = [], 0
    for token, space in zip(found, spaced, strict=True):
        position += len(token)
        ends.append(position)
        position += space
    cuts = [0, *(ends[start - 1] for start in _starts(found)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts)]
