"""What a chat template writes by itself, around messages: tokens between turns, and the one that ends an answer."""

import re
from collections.abc import Iterable, Iterator, Mapping

from trainer.errors import TrainerError
from trainer.tokenizer import markup
from trainer.tokenizer.markup import Marks

_SAID, _ANSWER = "\ufdee", "\ufdef"
"""Contents of a conversation that is rendered to see what stands around them; no token holds these noncharacters."""

_MARKS = Marks.for_text(_SAID + _ANSWER)

_TRIED = (
    (("user", "assistant"), False),
    (("user",), True),
    (("system", "user", "assistant"), False),
    (("user", "assistant", "user"), False),
    (("user", "assistant", "user"), True),
)
"""Roles of the conversations, and whether what begins an answer is asked for; templates may refuse some, and may close
an answer only where another turn follows."""

_MARK = re.compile(r"[^\w\s].*\w.*[^\w\s]", re.DOTALL)
"""A name between punctuation: `<|user|>`, `[INST]`, `</think>`. A word is none, nor one with its full stop."""


def own_tokens(template: str, names: Mapping[str, str], tokens: Iterable[str]) -> set[str]:
    """Those tokens that a template writes as marks: quoted in it, or put together when it is rendered.

    A mark begins and ends with punctuation. Words, punctuation and blanks that were added to a vocabulary are text's,
    also where a template's own sentences and names of roles hold them: those would be learnt by other ids than they
    are read by.

    Args:
      template: Jinja; of a broken or an empty one nothing is known.
      names: bos_token and the like, as the template may use them.
      tokens: candidates.
    """
    texts = [*markup.literals(template), *_renderings(template, names)]
    return {token for token in tokens if _MARK.fullmatch(token.strip()) and any(token in text for text in texts)}


def answer_end(template: str, names: Mapping[str, str], tokens: Iterable[str]) -> str | None:
    """The first of the tokens behind an answer's content, be it what begins the next turn; None where there is none.

    Args:
      template: Jinja; of a broken or an empty one nothing is known.
      names: as above.
      tokens: special ones.
    """
    longest_first = sorted(tokens, key=len, reverse=True)  # as `tokenizers` finds them
    special = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
    for text in _renderings(template, names):
        if found := special.search(text.partition(_ANSWER)[2]):
            return found[0]
    return None


def _renderings(template: str, names: Mapping[str, str]) -> Iterator[str]:
    """Conversations as the template has them, as far as it takes them."""
    for roles, prompt in _TRIED:
        turns = [{"role": role, "content": _ANSWER if role == "assistant" else _SAID} for role in roles]
        try:
            yield _MARKS.strip(markup.render(template, turns, names, _MARKS, prompt=prompt))
        except TrainerError:
            continue
