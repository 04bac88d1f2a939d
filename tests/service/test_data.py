"""`--data [NAME=]DIR`."""

from pathlib import Path

import pytest

from service.data import named
from trainer.errors import TrainerError


def test_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dump=1").mkdir()
    assert named([]) == {}
    assert named(["out"]) == {"": "out"}
    assert named(["general=a/b", "code=s3://b/k=v/x", "other"]) == {
        "general": "a/b",
        "code": "s3://b/k=v/x",
        "": "other",
    }
    for path in ("dump=1", "s3://bucket/dump=1", "/data/dump=1", "https://h/x?a=b"):
        assert named([path]) == {"": path}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["a", "b"], "--data 'b': data without a name stands twice; one folder a name"),
        (["web=a", "web=b"], "--data 'web=b': the name 'web' stands twice"),
        (["web="], "--data 'web=' names no folder; give a path"),
        ([""], "--data '' names no folder"),
    ],
)
def test_what_can_not_be(given: list[str], words: str) -> None:
    with pytest.raises(TrainerError) as error:
        named(given)
    assert words in str(error.value)
