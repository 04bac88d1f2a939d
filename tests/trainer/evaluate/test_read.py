"""Texts out of JSONL and curated folders, questions out of JSONL."""

import json
from pathlib import Path

import pytest

from tests.trainer.curated import document, write
from trainer.errors import IntegrityError, TrainerError
from trainer.evaluate.bits_per_byte import Text
from trainer.evaluate.multiple_choice import Question
from trainer.evaluate.read import questions, texts


def test_texts_with_their_groups(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    rows = [
        {"text": "a", "language": "ko", "url": "https://user@Example.org:8080/x"},
        {"text": "", "language": None, "url": 3},
        {"text": "b", "url": "http://[::1/"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert list(texts(str(path))) == [
        Text("a", {"language": "ko", "domain": "example.org"}),
        Text("", {"language": "", "domain": ""}),
        Text("b", {"language": "", "domain": ""}),
    ]


def test_a_line_without_text(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "a"}\n{"txt": "b"}\n')
    with pytest.raises(TrainerError, match=r"texts\.jsonl:2: 'text' is None, words were expected"):
        list(texts(str(tmp_path / "texts.jsonl")))


def test_a_share_of_no_curated_folder(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "a"}\n')
    assert len(list(texts(str(path), 1.0))) == 1
    with pytest.raises(TrainerError, match=r"held_out 0\.5 takes a share of a curated folder, and '.*jsonl' is none"):
        list(texts(str(path), 0.5))


def test_a_curated_folder(tmp_path: Path) -> None:
    """All of it, or the share that no stage draws."""
    rows = [document(n, f"text {n}", url=f"https://h{n % 2}.example/", language="en") for n in range(400)]
    folder = str(write(tmp_path / "out", [rows[:200], rows[200:]]))
    found = list(texts(folder))
    assert [text.text for text in found] == [row["text"] for row in rows]
    assert found[1].groups == {"language": "en", "domain": "h1.example"}
    some = list(texts(folder, 0.1))
    assert 20 < len(some) < 60
    assert {text.text for text in some} < {text.text for text in texts(folder, 0.2)}
    assert list(texts(folder, 0.0)) == []


def test_a_curated_folder_that_was_altered(tmp_path: Path) -> None:
    folder = write(tmp_path / "out", [[document(0, "a")]])
    (shard,) = (folder / "shards").iterdir()
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="is not the file that"):
        list(texts(str(folder)))


def test_questions(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "1 + 1 =", "choices": ["2", 3], "answer": 0}\n')
    assert questions(str(path)) == [Question("1 + 1 =", ("2", "3"), 0)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"question": "?", "choices": "ab", "answer": 0}', r'q\.jsonl:1: \{"question": …, "choices": \[…\]'),
        ('{"question": "?", "choices": ["a", "b"], "answer": 2}', r"q\.jsonl:1: question '\?': answer 2 of 2"),
        ('{"question": "?", "choices": ["a", "b"], "answer": true}', r"q\.jsonl:1: "),
    ],
)
def test_questions_that_are_none(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "q.jsonl").write_text(line)
    with pytest.raises(TrainerError, match=words):
        questions(str(tmp_path / "q.jsonl"))
