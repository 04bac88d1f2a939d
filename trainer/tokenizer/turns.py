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
)
"""Roles of the conversations, and whether what begins an answer is asked for; templates may refuse some."""


def own_tokens(template: str, names: Mapping[str, str], tokens: Iterable[str]) -> set[str]:
    """Those tokens that a template writes, blank ones aside: quoted in it, or put together when it is rendered.

    Args:
      template: Jinja; of a broken or an empty one nothing is known.
      names: bos_token and the like, as the template may use them.
      tokens: candidates.
    """
    texts = [*markup.literals(template), *_renderings(template, names)]
    return {token for token in tokens if token.strip() and any(token in text for text in texts)}


def answer_end(template: str, names: Mapping[str, str], tokens: Iterable[str]) -> str | None:
    """The first of the tokens behind an answer's content; None where a template closes answers with none of them.

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
