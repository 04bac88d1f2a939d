"""Texts and questions to evaluate on, from JSONL."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from trainer.chat.jsonl import rows
from trainer.errors import TrainerError
from trainer.evaluate.bits_per_byte import Text
from trainer.evaluate.multiple_choice import Question


def texts(path: str) -> Iterator[Text]:
    """A text a line, with its `language` and the host of its `url` where the line has them.

    Raises:
      TrainerError: A line that is no JSON object with a `text`; it says where.
    """
    for row in rows(path):
        line = row.value
        text = line.get("text")
        if not isinstance(text, str):
            raise TrainerError(f"{row.where}: 'text' is {text!r}, words were expected")
        language, url = line.get("language"), line.get("url")
        groups = {
            "language": language if isinstance(language, str) else "",
            "domain": _host(url) if isinstance(url, str) else "",
        }
        yield Text(text, groups)


def questions(path: str) -> list[Question]:
    """A multiple-choice question a line: `question`, `choices`, `answer` (number of the right one, from 0).

    Raises:
      TrainerError: A line that is none; it says where.
    """
    found = []
    for row in rows(path):
        line = row.value
        question, choices, answer = line.get("question"), line.get("choices"), line.get("answer")
        if not (isinstance(question, str) and isinstance(choices, list) and isinstance(answer, int)):
            raise TrainerError(
                f'{row.where}: {{"question": …, "choices": […], "answer": 0}} was expected, not {line!r}'
            )
        try:
            found.append(Question(question, tuple(map(str, choices)), answer))
        except TrainerError as error:
            raise TrainerError(f"{row.where}: {error}") from error
    return found


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
