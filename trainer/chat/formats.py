"""A row of a chat or preference file as ours, by the keys it has.

Read are: ours; OpenAI's `messages`; TRL's `prompt` with `completion`, or with `chosen` and `rejected`, each as text or
as messages; UltraFeedback's, a `prompt` beside whole conversations that begin with it; `chosen` and `rejected` as whole
conversations alone, in messages or in the text form of Anthropic's HH data
(https://github.com/anthropics/hh-rlhf): "\\n\\nHuman: …\\n\\nAssistant: …". A `system` beside any of them is its first
message. An assistant's message may bring its reasoning under a key of its own, by any of the names that servers give
it.
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
_SYSTEM = ("system", "system_prompt")
"""Of a row: Anthropic's name of what a system says, and another."""
_TOOLS = ("tools", "functions", "chat_template_kwargs")
"""Of a row: what would change what a template writes."""
_MORE = ("tool_calls", "function_call", "tools", "name", "refusal", "audio")
"""Of a message: what it says besides its content."""
_NOTHING = ("", "[]", "{}", "null")
_REASONING = ("reasoning_content", "reasoning", "thinking")
"""DeepSeek's and Qwen's name, vLLM's and OpenRouter's, gpt-oss's and Ollama's."""


def conversation(row: Row) -> Conversation:
    """A row as a conversation; of a preference the better answer.

    Raises:
      TrainerError: the row is of no known form, or no assistant answers in it.
    """
    value = row.value
    _see_plain(value, _TOOLS, f"{row.where}: ")
    if "messages" in value:
        messages = _messages(value["messages"], f"{row.where}: messages")
    elif "prompt" in value and "completion" in value:
        if value.get("label") is False:  # TRL's form for KTO
            raise TrainerError(f"{row.where}: label: False calls the completion a bad one; leave such rows out")
        messages = _whole("completion", row)
    elif "chosen" in value:
        messages = _whole("chosen", row)
    else:
        raise _unknown(row, "messages, or prompt with completion, or chosen")
    if not any(message.role == "assistant" and message.content.strip() for message in messages):
        raise TrainerError(f"{row.where}: no answer of an assistant in {_short(value)}; nothing can be learnt from it")
    return Conversation(id=_id(row), messages=_led(messages, row), language=_language(row))


def preference(row: Row) -> Preference:
    """A row as a preference.

    Raises:
      TrainerError: the row is of no known form, the two sides differ before their last turn, or there is no answer.
    """
    value = row.value
    if not {"chosen", "rejected"} <= value.keys():
        raise _unknown(row, "chosen and rejected")
    _see_plain(value, _TOOLS, f"{row.where}: ")
    (*prompt, chosen), (*other, rejected) = (_whole(side, row) for side in ("chosen", "rejected"))
    if prompt != other:
        raise TrainerError(f"{row.where}: chosen and rejected differ before their last turns in {_short(value)}")
    if not prompt or prompt[-1].role != "user" or {chosen.role, rejected.role} != {"assistant"}:
        raise TrainerError(f"{row.where}: two answers of an assistant to a user were expected, not {_short(value)}")
    if not chosen.content.strip():
        raise TrainerError(f"{row.where}: the chosen answer is empty in {_short(value)}")
    led = _led(prompt, row)
    return Preference(id=_id(row), prompt=led, chosen=chosen, rejected=rejected, language=_language(row))


def _led(messages: Sequence[Message], row: Row) -> tuple[Message, ...]:
    """A conversation behind what a system says beside it."""
    value = row.value
    given = {key: _text(value[key], f"{row.where}: {key}") for key in _SYSTEM if not _says_nothing(value.get(key))}
    standing = {message.content for message in messages if message.role == "system"}
    if not given or {*given.values()} <= standing:
        return tuple(messages)
    if len({*given.values()} | standing) > 1:
        raise TrainerError(
            f"{row.where}: {' and '.join(given)} {_short(given)} beside other words of a system; give one of them"
        )
    return Message(role="system", content=next(iter(given.values()))), *messages


def _messages(value: Any, where: str) -> tuple[Message, ...]:
    """A whole conversation, in messages or as HH's text."""
    if isinstance(value, str):
        return _turns(value, where)
    if not isinstance(value, Sequence) or not value:
        raise TrainerError(f"{where}: a list of messages was expected, not {_short(value)}")
    return tuple(_message(message, f"{where}[{number}]") for number, message in enumerate(value))


def _message(value: Any, where: str) -> Message:
    if not isinstance(value, Mapping):
        raise TrainerError(f"{where}: a message has role and content, unlike {_short(value)}")
    role = value.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise TrainerError(
            f"{where}.role: {_short(role)} can't be learnt, only {', '.join(_ROLES)}; leave such conversations out"
        )
    _see_plain(value, _MORE, f"{where}.")
    if role == "assistant":
        _see_learnt(value, where)
    content = _text(value.get("content"), f"{where}.content")
    return Message(role=_ROLES[role], content=content, reasoning_content=_reasoning(value, where))


def _see_learnt(answer: Mapping[str, Any], where: str) -> None:
    """An answer asks for no other part in the loss than all have."""
    weight, train = answer.get("weight"), answer.get("train")
    if weight is not None and (isinstance(weight, bool) or weight != 1):
        raise TrainerError(f"{where}.weight: {_short(weight)} can't be kept; every answer is learnt, with weight 1")
    if train is not None and train is not True:
        raise TrainerError(f"{where}.train: {_short(train)} can't be kept; every answer is learnt")


def _see_plain(value: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    """Nothing stands under keys that aren't read and would change what is learnt."""
    for key in keys:
        if not _says_nothing(value.get(key)):
            raise TrainerError(
                f"{where}{key}: {_short(value[key])} can't be learnt; leave such conversations out, or the key"
            )


def _says_nothing(value: Any) -> bool:
    """Empty or false, also as JSON in a text; or options that all are."""
    if isinstance(value, str):
        return value.strip() in _NOTHING
    return not value or (isinstance(value, Mapping) and all(map(_says_nothing, value.values())))


def _reasoning(message: Mapping[str, Any], where: str) -> str:
    """What an assistant thinks before it answers; empty where it says nothing of it."""
    given = {key: _text(message[key], f"{where}.{key}") for key in _REASONING if message.get(key)}
    if given and message["role"] != "assistant":
        raise TrainerError(f"{where}.{next(iter(given))}: reasoning is an assistant's, not of role {message['role']!r}")
    if len(set(given.values())) > 1:
        raise TrainerError(f"{where}: {' and '.join(given)} differ in {_short(given)}; give the reasoning once")
    return next(iter(given.values()), "")


def _text(content: Any, where: str) -> str:
    """A text, which OpenAI also writes as parts."""
    if not isinstance(content, list):
        return _string(content, where)
    for number, part in enumerate(content):
        if not isinstance(part, Mapping) or part.get("type") != "text":
            raise TrainerError(f"{where}[{number}]: only parts of text can be learnt, not {_short(part)}")
    return "".join(_string(part.get("text"), f"{where}[{number}].text") for number, part in enumerate(content))


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise TrainerError(f"{where}: text was expected, not {_short(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise TrainerError(f"{where}: half a surrogate pair in {_short(value)}: {error}") from error
    return value


def _whole(side: str, row: Row) -> tuple[Message, ...]:
    """The conversation that ends in an answer: behind its prompt where there is one, unless it begins with it."""
    value, where = row.value[side], f"{row.where}: {side}"
    if "prompt" not in row.value:
        return _messages(value, where)
    given = row.value["prompt"]
    if isinstance(value, str) and not _is_hh(value):
        text = _string(value, where)
        answer = Message(role="assistant", content=text.strip() if _is_hh(given) else text)
        return *_prompt(given, f"{row.where}: prompt", side), answer
    messages = (_message(value, where),) if isinstance(value, Mapping) else _messages(value, where)
    if not given and len(messages) > 1:
        return messages
    prompt = _prompt(given, f"{row.where}: prompt", side)
    if len(messages) == 1 and messages[0].role == "assistant":
        return *prompt, *messages
    # a prompt of plain text says nothing of the system's turn
    spoken = [message for message in messages if message.role != "system"] if isinstance(given, str) else messages
    if [*map(_bare, spoken[: len(prompt)])] == [*map(_bare, prompt)]:
        return messages
    raise TrainerError(
        f"{where}: beside a prompt one message of an assistant was expected, or a conversation that begins with it, "
        f"not {_short(value)}"
    )


def _prompt(value: Any, where: str, side: str) -> tuple[Message, ...]:
    """What comes before the answer: messages, HH's text up to `Assistant:`, or what a user says."""
    if isinstance(value, str) and not _is_hh(value):
        return (Message(role="user", content=_string(value, where)),)
    messages = _messages(value, where)
    if isinstance(value, str) and messages[-1].role == "assistant" and not messages[-1].content:
        messages = messages[:-1]
    if messages and messages[-1].role == "assistant":
        raise TrainerError(
            f"{where}: it ends in an answer, {_short(messages[-1].content)}, and another follows; give the whole "
            f"answer as {side}"
        )
    return messages


def _bare(message: Message) -> Message:
    """Without blanks around its content."""
    return message.model_copy(update={"content": message.content.strip()})


def _is_hh(text: Any) -> bool:
    return isinstance(text, str) and _HH.match(text) is not None


def _turns(text: str, where: str) -> tuple[Message, ...]:
    """HH's text; blanks around a turn belong to the format."""
    before, *parts = _HH.split(_string(text, where))
    if before.strip() or not parts:
        raise TrainerError(f"{where}: text that begins with '\\n\\nHuman: ' was expected, not {_short(text)}")
    return tuple(
        Message(role="user" if role == "Human" else "assistant", content=content.strip())
        for role, content in zip(parts[::2], parts[1::2], strict=True)
    )


def _id(row: Row) -> str:
    given = row.value.get("id")
    if isinstance(given, str | int) and not isinstance(given, bool) and given != "":
        return _string(str(given), f"{row.where}: id")
    return row.id


def _language(row: Row) -> str:
    language = row.value.get("language")
    return language if isinstance(language, str) else ""


def _unknown(row: Row, wanted: str) -> TrainerError:
    return TrainerError(f"{row.where}: {wanted} were expected, but its keys are {sorted(row.value)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:160]}…"
