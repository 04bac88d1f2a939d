"""Chat templates turned into text as transformers does it, with what the loss mask needs marked inside the text.

The environment is that of `transformers.utils.chat_template_utils` (5.23): sandboxed Jinja with `trim_blocks`,
`lstrip_blocks`, loop controls, `tojson`, `raise_exception` and the `generation` tag. `strftime_now` is left out: ids
that depend on the day of rendering can't be made again. Templates that ask for it (Llama 3.1's) fall back to a date of
their own.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from trainer.errors import TrainerError

_MARKS = "chat_marks"
_FAILURES = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What calling and computing inside a template may end in: `.index('zz')`, `x / 0`, `{}['a']`, `range(10 ** 9)`; and
compiling it, for Jinja makes Python of it: `{% break %}` outside a loop, a thousand brackets."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Four characters that stand nowhere in a conversation."""

    opens: str
    """Here a part to be learnt begins."""
    closes: str
    breaks: str
    """Stands inside a special token's name that came from a message, so that it reads as text."""
    reasons: str
    """Stands inside a message's reasoning, so that a template is seen to leave it out."""

    @classmethod
    def for_text(cls, text: str) -> "Marks":
        """Noncharacters if that can be, else private ones."""
        candidates = map(chr, chain(range(0xFDD0, 0xFDF0), range(0xF0000, 0xFFFFE)))
        return cls(*islice((mark for mark in candidates if mark not in text), 4))

    @property
    def silent(self) -> tuple[str, str]:
        """Those that bound nothing."""
        return self.breaks, self.reasons

    def strip(self, text: str) -> str:
        """The text without marks."""
        for mark in (self.opens, self.closes, *self.silent):
            text = text.replace(mark, "")
        return text


def render(
    template: str, messages: Sequence[Mapping[str, str]], names: Mapping[str, str], marks: Marks, *, prompt: bool
) -> str:
    """The conversation as text, parts in `generation` tags between `marks.opens` and `marks.closes`.

    Args:
      template: Jinja.
      messages: role and content each, reasoning_content where there is some.
      names: bos_token and the like, as the template may use them.
      marks: characters that the messages' words don't hold.
      prompt: ends with what begins the assistant's next turn.

    Raises:
      TrainerError: the template is broken, or refuses the conversation.
    """
    try:
        return _compiled(template).render(
            messages=messages, tools=None, documents=None, add_generation_prompt=prompt, **names, **{_MARKS: marks}
        )
    except _FAILURES as error:
        first = messages[0]["content"][:80] if messages else ""
        why = str(error) or type(error).__name__
        raise TrainerError(f"the chat template can't render the conversation that begins {first!r}: {why}") from error


def literals(template: str) -> list[str]:
    """Texts that stand in a template, between its tags and quoted inside them; none of one that is broken."""
    try:
        parsed = _environment().parse(template)
        written = [node.data for node in parsed.find_all(nodes.TemplateData)]
        return written + [node.value for node in parsed.find_all(nodes.Const) if isinstance(node.value, str)]
    except _FAILURES:
        return []


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: what an assistant is to learn."""

    tags = {"generation"}  # noqa: RUF012 (jinja2 declares it so)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_marked", [nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _marked(self, context: jinja2.runtime.Context, caller: Callable[[], str]) -> str:
        marks = context[_MARKS]
        return f"{marks.opens}{caller()}{marks.closes}"


@lru_cache(maxsize=16)
def _compiled(template: str) -> jinja2.Template:
    return _environment().from_string(template)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _refuse
    return environment


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(value: Any, indent: int | None = None, **options: Any) -> str:
    """Without Jinja's escapes for HTML."""
    return json.dumps(value, ensure_ascii=options.pop("ensure_ascii", False), indent=indent, **options)
