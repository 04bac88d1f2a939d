"""Models opened: a run's output, one of its checkpoints, a Hugging Face folder, and what is none."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.trainer import nano
from tests.trainer.nano import Made
from trainer.errors import IntegrityError, TrainerError
from trainer.model import hf
from trainer.trained import open_trained, stored


def test_a_runs_newest_checkpoint(tiny: Made) -> None:
    trained = open_trained(tiny.output)
    assert trained.checkpoint is not None
    assert trained.checkpoint.step == len(tiny.rows)
    assert (trained.decoder.spec.context, trained.decoder.spec.rope_theta) == (32, 20_000.0)
    assert trained.tokenizer.largest_id == 319
    assert all(parameter.requires_grad for parameter in trained.decoder.parameters())


def test_weights_are_the_average_or_the_last_steps(tiny: Made) -> None:
    mean, raw = open_trained(tiny.output), open_trained(tiny.output, average=False)
    assert raw.checkpoint is not None
    stored = raw.checkpoint.read("model")
    assert all(torch.equal(tensor, stored[name]) for name, tensor in raw.decoder.state_dict().items())
    averages = raw.checkpoint.read("average")
    assert all(torch.equal(tensor, averages[name].float()) for name, tensor in mean.decoder.state_dict().items())


def test_a_checkpoint_by_its_folder(tiny: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """From wherever its path begins."""
    folder = min((tiny.output / "checkpoints").iterdir())
    step = int(folder.name[5:])
    monkeypatch.chdir(folder)
    for path in (folder, Path(), Path(f"../{folder.name}"), Path(os.path.relpath(folder))):
        trained = open_trained(path)
        assert trained.checkpoint is not None
        assert trained.checkpoint.step == step < len(tiny.rows)


def test_what_was_exported(tiny: Made, tmp_path: Path) -> None:
    before = open_trained(tiny.output)
    hf.export(before.decoder, before.tokenizer, tmp_path / "hf")
    after = open_trained(tmp_path / "hf")
    assert after.checkpoint is None
    assert after.tokenizer.sha256 == before.tokenizer.sha256
    ids = torch.arange(20)[None]
    assert torch.equal(after.decoder(ids), before.decoder(ids))


@pytest.mark.parametrize("kind", ["run", "hf"])
def test_a_shape_without_its_weights(kind: str, tiny: Made, tmp_path: Path) -> None:
    whole = open_trained(tiny.output)
    folder = tiny.output
    if kind == "hf":
        folder = tmp_path / "hf"
        hf.export(whole.decoder, whole.tokenizer, folder)
        (folder / "model.safetensors").unlink()
    found = stored(folder)
    assert (found.shape, found.spec.context) == (whole.decoder.shape, whole.decoder.spec.context)
    assert found.tokenizer.sha256 == whole.tokenizer.sha256


def test_the_last_sound_checkpoint_counts(tiny: Made, tmp_path: Path) -> None:
    shutil.copytree(tiny.output, tmp_path / "out")
    folders = sorted((tmp_path / "out/checkpoints").iterdir())
    (folders[-1] / "state.json").write_text("{}")
    told: list[str] = []
    trained = open_trained(tmp_path / "out", note=told.append)
    assert trained.checkpoint is not None
    assert trained.checkpoint.path == folders[-2]
    assert [words.startswith("passed over a checkpoint: ") and folders[-1].name in words for words in told] == [True]
    with pytest.raises(IntegrityError, match=r"state\.json is not what was written"):
        open_trained(folders[-1])
    for folder in folders:
        (folder / "state.json").write_text("{}")
    with pytest.raises(IntegrityError, match="none of the 3 checkpoints in"):
        open_trained(tmp_path / "out")


def test_a_shape_is_had_without_hashing_weights(tiny: Made, tmp_path: Path) -> None:
    shutil.copytree(tiny.output, tmp_path / "out")
    newest = max((tmp_path / "out/checkpoints").iterdir())
    for path in (newest / "tensors").iterdir():
        path.write_bytes(b"")
    assert [stored(path, tensors=False).path for path in (tmp_path / "out", newest)] == [newest, newest]
    assert stored(tmp_path / "out").path != newest
    with pytest.raises(IntegrityError, match="is not what was written"):
        stored(newest)


def swap_two(folder: Path) -> None:
    """Two entries of the vocabulary."""
    told = json.loads((folder / "tokenizer.json").read_bytes())
    vocabulary = told["model"]["vocab"]
    one, other = list(vocabulary)[-2:]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    (folder / "tokenizer.json").write_text(json.dumps(told))


def another_end(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(path.read_text().replace("<|endoftext|>", "<|reserved_0|>", 1))


def own_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")


ALTERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "vocabulary": (
        swap_two,
        r"tokenizer/tokenizer\.json' has sha256 [0-9a-f]+, but '.*/run\.json' names [0-9a-f]{64}",
    ),
    "missing": (
        lambda folder: (folder / "tokenizer.json").unlink(),
        r"tokenizer\.json' is missing, but .* put it back",
    ),
    "folder": (shutil.rmtree, r"tokenizer/tokenizer\.json' is missing"),
    "configuration": (another_end, r"tokenizer_config\.json' has sha256 .*: the run was trained with another"),
    "template": (own_template, r"chat_template\.jinja' is not the run's: .*; remove it"),
}


@pytest.mark.parametrize("case", ALTERED)
def test_an_altered_tokenizer(case: str, tiny: Made, tmp_path: Path) -> None:
    """Named before weights are used or anything is tokenised."""
    act, words = ALTERED[case]
    copy = Made(tmp_path / "out", tiny.data, tmp_path / "segments")
    shutil.copytree(tiny.output, copy.output)
    act(copy.output / "tokenizer")
    for path in (copy.output, max((copy.output / "checkpoints").iterdir())):
        with pytest.raises(IntegrityError, match=words):
            open_trained(path)
        with pytest.raises(IntegrityError, match=words):
            stored(path, tensors=False)
    with pytest.raises(IntegrityError, match=words):
        copy.go(nano.spec())
    assert not copy.segments.exists()
    shutil.rmtree(copy.output / "tokenizer", ignore_errors=True)
    hf.export(open_trained(tiny.output).decoder, open_trained(tiny.output).tokenizer, tmp_path / "hf")
    (copy.output / "tokenizer").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):  # as the error says
        shutil.copy(tmp_path / "hf" / name, copy.output / "tokenizer" / name)
    assert open_trained(copy.output).tokenizer.sha256 == open_trained(tiny.output).tokenizer.sha256


def test_a_checkpoint_elsewhere(tiny: Made, tmp_path: Path) -> None:
    """Beside a tokenizer, without run.json, by which nothing can be compared."""
    folder = max((tiny.output / "checkpoints").iterdir())
    shutil.copytree(folder, tmp_path / "a" / "b" / folder.name)
    with pytest.raises(TrainerError, match="no tokenizer at"):
        open_trained(tmp_path / "a" / "b" / folder.name)
    shutil.copytree(tiny.output / "tokenizer", tmp_path / "a" / "tokenizer")
    assert open_trained(tmp_path / "a" / "b" / folder.name).checkpoint is not None


def test_what_is_no_model(tmp_path: Path, tiny: Made) -> None:
    for path in (tmp_path, tmp_path / "nowhere", tiny.data):
        with pytest.raises(TrainerError, match=r"holds no model: neither checkpoints/ of a run nor a Hugging Face"):
            open_trained(path)


def test_devices_that_are_none(tiny: Made) -> None:
    with pytest.raises(TrainerError, match="there is no device 'gpu'"):
        open_trained(tiny.output, device="gpu")
    with pytest.raises(TrainerError, match="device 'meta' is neither a CPU nor a CUDA GPU"):
        open_trained(tiny.output, device="meta")
