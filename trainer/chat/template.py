"""A conversation as token ids, with the mask of what the assistant learns.

The ids are those of transformers' `apply_chat_template(messages, tokenize=True)` on the exported tokenizer, which every
call sees for itself, with one difference that is meant: a special token's name inside a message stays text here, as
`apply_chat_template` has it only with `sanitize_control_tokens`. So nothing that a message says ends a turn or speaks
for another role. That holds for `<think>` too: what an assistant thinks stands in a field of its own, which templates
read as `reasoning_content`. One that leaves it out is an error, for the data says to learn it.

The mask is 1 on an assistant's reasoning, its content and the token that closes its turn, in every turn. Where the
template has `generation` tags they say what that is; else it is what a turn adds to the prompt before it, up to its
last special token. Offsets of tokens into text are not used: they are wrong behind normalisation, for characters of
several tokens, and for blanks. A token's side is found by encoding the text before the border; one that joins the
prompt's last line break to an answer's leading ones counts as prompt, and any other that reaches over a border is an
error.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from schemas.chat import Message
from trainer.errors import TrainerError
from trainer.tokenizer import markup
from trainer.tokenizer.markup import Marks
from trainer.tokenizer.tokenizer import Ids, Tokenizer

_REASONING = "reasoning_content"
_INK = re.compile(r"\S")
_REACH = 64
"""Blanks that a token may take from behind a border."""


def render(messages: Sequence[Message], tokenizer: Tokenizer, *, answer: bool = True) -> tuple[Ids, NDArray[np.uint8]]:
    """Ids and mask of a conversation, or of the prompt that generation continues.

    Args:
      messages: turns in order.
      tokenizer: its chat_template is used.
      answer: False ends with what begins the assistant's next turn, and the mask is all 0.

    Returns:
      ids [tokens], of `tokenizer.dtype`, and mask [tokens], 1 where the token is to be learnt.

    Raises:
      TrainerError: nothing is to be learnt from the conversation, the template refuses it, leaves reasoning out or
        rewrites earlier turns, or the tokenizer has no template.
    """
    if not tokenizer.chat_template:
        raise TrainerError(
            f"{tokenizer.where!r} has no chat template, and not the tokens of ours; add one in tokenizer_config.json"
        )
    marks = Marks.for_text("".join(message.reasoning_content + message.content for message in messages))
    names = _special(tokenizer)
    turns = [_turn(message, names, marks) for message in messages]
    text = _text(turns, tokenizer, marks, prompt=not answer)
    if answer and text.count(marks.reasons) < sum(marks.reasons in turn.get(_REASONING, "") for turn in turns):
        raise TrainerError(
            f"the chat template of {tokenizer.where!r} leaves reasoning out in the conversation that begins "
            f"{_beginning(messages)!r}: it reads no {_REASONING}, or only that of some turns; give another template, "
            "each answer as a conversation of its own, or data without reasoning"
        )
    if answer and marks.opens not in text:
        text = _marked(turns, text, tokenizer, marks)
    ids, mask = _encoded(_parts(text, tokenizer, marks), tokenizer)
    if marks.breaks not in text:
        _see_equal(ids, marks.strip(text), tokenizer)
    if not answer:
        mask = [0] * len(ids)
    elif not any(mask):
        raise TrainerError(f"no answer of an assistant in the conversation that begins {_beginning(messages)!r}")
    return np.array(ids, tokenizer.dtype), np.array(mask, np.uint8)


@dataclass(slots=True)
class _Section:
    """Text between two special tokens."""

    text: str = ""
    borders: list[tuple[int, bool]] = field(default_factory=list)
    """Where, in characters, a part to be learnt begins (True) or ends (False)."""


def _text(turns: Sequence[dict[str, str]], tokenizer: Tokenizer, marks: Marks, *, prompt: bool) -> str:
    return markup.render(tokenizer.chat_template, turns, tokenizer.names, marks, prompt=prompt)


def _turn(message: Message, names: re.Pattern[str] | None, marks: Marks) -> dict[str, str]:
    """A message as templates read it; the key of reasoning is there where there is some."""
    turn = {"role": message.role, "content": _broken(message.content, names, marks)}
    if message.reasoning_content:
        reasoning = _broken(message.reasoning_content, names, marks)
        turn[_REASONING] = _INK.sub(lambda found: found[0] + marks.reasons, reasoning, count=1)
    return turn


def _broken(content: str, names: re.Pattern[str] | None, marks: Marks) -> str:
    """The content with special tokens' names broken, overlapping ones too."""
    return names.sub(lambda found: found[0] + marks.breaks, content) if names else content


def _marked(turns: Sequence[dict[str, str]], whole: str, tokenizer: Tokenizer, marks: Marks) -> str:
    """Marks what each assistant's turn adds to the prompt before it, for templates without `generation` tags."""
    if "add_generation_prompt" not in tokenizer.chat_template:
        raise TrainerError(
            f"the chat template of {tokenizer.where!r} knows neither add_generation_prompt nor generation tags, so "
            "nothing tells where an answer begins; add either"
        )
    pieces = _pieces(tokenizer, marks)
    done, parts = 0, []
    for n, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        before = _text(turns[:n], tokenizer, marks, prompt=True)
        after = _text(turns[: n + 1], tokenizer, marks, prompt=False)
        if not (after.startswith(before) and whole.startswith(after)):
            raise TrainerError(
                f"the chat template of {tokenizer.where!r} rewrites turns when others follow, at the answer "
                f"{marks.strip(turn['content'])[:80]!r}: what was learnt there is not what is generated; add "
                "generation tags to the template, or give each answer as a conversation of its own"
            )
        found = [piece.end() for piece in pieces.finditer(after, len(before)) if piece[0] not in marks.silent]
        end = found[-1] if found else len(after)
        parts += [whole[done : len(before)], marks.opens, whole[len(before) : end], marks.closes]
        done = end
    return "".join([*parts, whole[done:]])


def _parts(text: str, tokenizer: Tokenizer, marks: Marks) -> list[_Section | int]:
    """Sections and ids of special tokens, in turns."""
    section = _Section()
    parts: list[_Section | int] = [section]
    done = 0
    for found in _pieces(tokenizer, marks).finditer(text):
        section.text += text[done : found.start()]
        done = found.end()
        marker = found[0]
        if marker in (marks.opens, marks.closes):
            section.borders.append((len(section.text), marker == marks.opens))
        elif marker not in marks.silent:
            section = _Section()
            parts += [tokenizer.special[marker if marker in tokenizer.special else marker.strip()], section]
    section.text += text[done:]
    return parts


def _begun(text: str, ids: Sequence[int], at: int, tokenizer: Tokenizer) -> int:
    """Tokens that begin before a character: those of the text before it, or before the blanks that a token joins."""
    if at == 0:
        return 0
    for end in range(at, min(len(text), at + _REACH) + 1):
        before = tokenizer.encode_text(text[:end])
        if ids[: len(before)] == before:
            return len(before)
        if not text[end : end + 1].isspace():
            break
    raise TrainerError(
        f"a token of {tokenizer.where!r} reaches over the border between prompt and answer in "
        f"{text[max(0, at - 20) : at]!r} {text[at : at + 60]!r}: what was learnt there could not follow "
        "the prompt alone; end the template's prompt with a special token or a line break, and begin answers without "
        "blanks"
    )


def _encoded(parts: Sequence[_Section | int], tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of all parts, and their mask."""
    ids: list[int] = []
    mask: list[int] = []
    learnt = False
    for part in parts:
        if isinstance(part, int):
            ids.append(part)
            mask.append(learnt)
            continue
        own, done = tokenizer.encode_text(part.text), 0
        for at, opens in part.borders:
            begun = _begun(part.text, own, at, tokenizer)
            mask += [learnt] * (begun - done)
            done, learnt = begun, opens
        mask += [learnt] * (len(own) - done)
        ids += own
    return ids, mask


def _see_equal(ids: Sequence[int], text: str, tokenizer: Tokenizer) -> None:
    if tokenizer.encode_whole(text) != ids:
        raise TrainerError(
            f"{tokenizer.where!r} encodes the text between special tokens otherwise than on its own, so that answers "
            f"can't be told from prompts in {text[:80]!r}; use a tokenizer whose special tokens take no blanks with "
            "them and whose words don't depend on their place"
        )


@lru_cache(maxsize=8)
def _special(tokenizer: Tokenizer) -> re.Pattern[str] | None:
    """A character at which a special token's name begins."""
    names = "|".join(re.escape(name) for name in tokenizer.special)
    return re.compile(f"(?=(?:{names})).", re.DOTALL) if names else None


@lru_cache(maxsize=8)
def _pieces(tokenizer: Tokenizer, marks: Marks) -> re.Pattern[str]:
    """Special tokens, the longest first as `tokenizers` finds them, with the blanks they take; and the marks."""
    tokens = sorted(tokenizer.special_tokens, key=lambda token: -len(token.content))
    names = [
        (r"\s*" if token.lstrip else "") + re.escape(token.content) + (r"\s*" if token.rstrip else "")
        for token in tokens
    ]
    return re.compile("|".join([marks.opens, marks.closes, *marks.silent, *names]))


def _beginning(messages: Sequence[Message]) -> str:
    return messages[0].content[:80] if messages else ""
