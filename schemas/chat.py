"""Conversations and preferences, as the trainer reads them and the arithmetic generator makes them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(_Strict):
    """One turn."""

    role: Literal["system", "user", "assistant"]
    content: str
    reasoning_content: str = ""
    """What an assistant thinks before it answers, by the name that chat templates know."""


class Conversation(_Strict):
    """Turns in order; the assistant's are what is learnt."""

    id: str
    messages: tuple[Message, ...] = Field(min_length=1)
    language: str = ""


class Preference(_Strict):
    """A prompt with a better and a worse answer, both an assistant's."""

    id: str
    prompt: tuple[Message, ...] = Field(min_length=1)
    chosen: Message
    rejected: Message
    language: str = ""
