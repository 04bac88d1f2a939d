"""The command, a recipe of one's own and texts for the trainer's commands."""

import json
from pathlib import Path

import pytest
import yaml

from service import cli
from tests.service.obeyed import Done, Gristmill


@pytest.fixture
def gristmill(capfd: pytest.CaptureFixture[str]) -> Gristmill:
    """The command in this process."""

    def run(*args: object) -> Done:
        code = cli.obey([str(arg) for arg in args])
        told = capfd.readouterr()
        return Done(code, told.out, told.err)

    return run


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The smallest recipe in a file of one's own."""
    from tests.trainer import nano  # torch is slow to import, and few tests need it

    path = tmp_path_factory.mktemp("recipes") / "mine.yaml"
    entry = nano.spec().model_dump(mode="json", by_alias=True, exclude_unset=True)
    path.write_text(yaml.safe_dump({"training": {"tiny": entry}}))
    return f"{path}#tiny"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts that no run has seen, some longer than any context, one empty."""
    from tests.trainer import nano  # as above

    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    rows = [
        {
            "text": nano.prose(9000 + n, "ko" if n % 2 else "en"),
            "language": "ko" if n % 2 else "en",
            "url": f"https://h{n}/",
        }
        for n in range(6)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"text": ""}, {"text": "<|endoftext|> a"}]))
    return path
