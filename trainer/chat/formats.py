"""A row of a chat or preference file as ours, by the keys it has.

Read are: ours; OpenAI's `messages`; TRL's `prompt` with `completion`, or with `chosen` and `rejected`, each as text or
as messages; `chosen` and `rejected` as whole conversations, in messages or in the text form of Anthropic's HH data
(https://github.com/anthropics/hh-rlhf): "\\n\\nHuman: …\\n\\nAssistant: …".
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from schemas.chat import Conversation, Message, Preference
from trainer.chat.jsonl import Row
from trainer.errors import TrainerError

_HH = re.compile(r"\n\n(Human|Assistant):")
_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_CALLS = ("tool_calls", "function_call")


def conversation(row: Row) -> Conversation:
    """A row as a conversation; of a preference the better answer.

    Raises:
      TrainerError: the row is of no known form, or no assistant answers in it.
    """
    value = row.value
    if "messages" in value:
        messages = _messages(value["messages"], row)
    elif "prompt" in value and "completion" in value:
        messages = (*_prompt(value["prompt"], row), _answer("completion", row))
    elif "prompt" in value and "chosen" in value:
        messages = (*_prompt(value["prompt"], row), _answer("chosen", row))
    elif "chosen" in value:
        messages = _messages(value["chosen"], row)
    else:
        raise _unknown(row, "messages, or prompt with completion, or chosen")
    if not any(message.role == "assistant" and message.content.strip() for message in messages):
        raise TrainerError(f"{row.where}: no answer of an assistant in {_short(value)}; nothing can be learnt from it")
    return Conversation(id=_id(row), messages=messages, language=_language(row))


def preference(row: Row) -> Preference:
    """A row as a preference.

    Raises:
      TrainerError: the row is of no known form, the two sides differ before their last turn, or there is no answer.
    """
    value = row.value
    if not {"chosen", "rejected"} <= value.keys():
        raise _unknown(row, "chosen and rejected")
    if "prompt" in value:
        prompt = _prompt(value["prompt"], row)
        chosen, rejected = _answer("chosen", row), _answer("rejected", row)
    else:
        (*before, chosen), (*other, rejected) = (_messages(value[side], row) for side in ("chosen", "rejected"))
        if before != other:
            raise TrainerError(f"{row.where}: chosen and rejected differ before their last turns in {_short(value)}")
        prompt = tuple(before)
    if not prompt or prompt[-1].role != "user" or {chosen.role, rejected.role} != {"assistant"}:
        raise TrainerError(f"{row.where}: two answers of an assistant to a user were expected, not {_short(value)}")
    if not chosen.content.strip():
        raise TrainerError(f"{row.where}: the chosen answer is empty in {_short(value)}")
    return Preference(
        id=_id(row), prompt=prompt, chosen=chosen.content, rejected=rejected.content, language=_language(row)
    )


def _messages(value: Any, row: Row) -> tuple[Message, ...]:
    """A whole conversation, in messages or as HH's text."""
    if isinstance(value, str):
        return _turns(value, row)
    if not isinstance(value, Sequence) or not value:
        raise TrainerError(f"{row.where}: messages were expected, not {_short(value)}")
    return tuple(_message(message, row) for message in value)


def _message(value: Any, row: Row) -> Message:
    if not isinstance(value, Mapping) or str(value.get("role")) not in _ROLES:
        raise TrainerError(f"{row.where}: a message has role ({', '.join(_ROLES)}) and content, unlike {_short(value)}")
    if calls := [key for key in _CALLS if value.get(key)]:
        raise TrainerError(f"{row.where}: {calls[0]} can't be learnt, in {_short(value)}; leave such conversations out")
    if value.get("weight") == 0:
        raise TrainerError(f"{row.where}: weight 0 can't be kept, in {_short(value)}; every answer is learnt")
    return Message(role=_ROLES[value["role"]], content=_text(value.get("content"), row))


def _text(content: Any, row: Row) -> str:
    """A content, which OpenAI also writes as parts."""
    if isinstance(content, list):
        if strange := [part for part in content if not isinstance(part, Mapping) or part.get("type") != "text"]:
            raise TrainerError(f"{row.where}: only parts of text can be learnt, not {_short(strange[0])}")
        content = "".join(_text(part.get("text"), row) for part in content)
    if not isinstance(content, str):
        raise TrainerError(f"{row.where}: a content is text, not {_short(content)}")
    try:
        content.encode()
    except UnicodeEncodeError as error:
        raise TrainerError(f"{row.where}: half a surrogate pair in {_short(content)}: {error}") from error
    return content


def _prompt(value: Any, row: Row) -> tuple[Message, ...]:
    """What comes before the answer: messages, HH's text up to `Assistant:`, or what a user says."""
    if not isinstance(value, str):
        return _messages(value, row)
    if not _is_hh(value):
        return (Message(role="user", content=_text(value, row)),)
    messages = _turns(value, row)
    return messages[:-1] if messages[-1].role == "assistant" and not messages[-1].content else messages


def _answer(side: str, row: Row) -> Message:
    """What answers the prompt: text, or one message of an assistant."""
    value, prompt = row.value[side], row.value["prompt"]
    if isinstance(value, str):
        text = _text(value, row)
        return Message(role="assistant", content=text.strip() if _is_hh(prompt) else text)
    messages = _messages(value, row)
    if len(messages) != 1 or messages[0].role != "assistant":
        raise TrainerError(
            f"{row.where}: beside a prompt one message of an assistant was expected, not {_short(value)}"
        )
    return messages[0]


def _is_hh(prompt: Any) -> bool:
    return isinstance(prompt, str) and _HH.match(prompt) is not None


def _turns(text: str, row: Row) -> tuple[Message, ...]:
    """HH's text; blanks around a turn belong to the format."""
    before, *parts = _HH.split(_text(text, row))
    if before.strip() or not parts:
        raise TrainerError(f"{row.where}: text that begins with '\\n\\nHuman: ' was expected, not {_short(text)}")
    return tuple(
        Message(role="user" if role == "Human" else "assistant", content=content.strip())
        for role, content in zip(parts[::2], parts[1::2], strict=True)
    )


def _id(row: Row) -> str:
    given = row.value.get("id")
    if isinstance(given, str | int) and not isinstance(given, bool) and given != "":
        return _text(str(given), row)
    return row.id


def _language(row: Row) -> str:
    language = row.value.get("language")
    return language if isinstance(language, str) else ""


def _unknown(row: Row, wanted: str) -> TrainerError:
    return TrainerError(f"{row.where}: {wanted} were expected, but its keys are {sorted(row.value)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:160]}…"
