"""The estimate beside what torch's own accounts say, and what follows from it."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from schemas.training import ModelSpec, OptimizerSpec
from trainer.errors import TrainerError
from trainer.model.cross_entropy import cross_entropy
from trainer.model.decoder import Decoder
from trainer.model.memory import Memory, Setting, check, estimate, in_words, largest_micro_batch_size
from trainer.model.room import Room, group_limits, room
from trainer.model.shape import Shape
from trainer.train.training import Training
from trainer.train.writer import CheckpointWriter

GPU = Setting()


def peak(work: Callable[[], None], folder: Path) -> int:
    """Most bytes that tensors held at once, over those held before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiled:
        work()
    profiled.export_chrome_trace(str(folder / "trace.json"))
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    held = most = 0
    for event in sorted((e for e in events if e.get("name") == "[memory]"), key=lambda e: float(e["ts"])):
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize(
    ("checkpointed", "masked", "body", "rows", "seq_len", "vocab_size"),
    [
        (False, False, "sdpa", 4, 192, 1000),
        (False, True, "sdpa", 8, 96, 8000),
        (True, True, "sdpa", 4, 192, 1000),
        (True, False, "sdpa", 8, 96, 8000),
        (False, True, "plain", 4, 192, 1000),
    ],
)
def test_the_estimate_is_near_what_is_taken(
    family: str, checkpointed: bool, masked: bool, body: str, rows: int, seq_len: int, vocab_size: int, tmp_path: Path
) -> None:
    spec = ModelSpec.model_validate(
        {"family": family, "layers": 4, "dim": 96, "heads": 4, "context": 192, "tied": family == "gpt2"}
        | ({} if family == "gpt2" else {"kv_heads": 2})
    )
    decoder = Decoder(spec, vocab_size, checkpoint_activations=checkpointed)
    decoder.body = "plain" if body == "plain" else "sdpa"
    for parameter in decoder.parameters():
        parameter.grad = torch.zeros_like(parameter)
    ids = torch.randint(0, vocab_size, (rows, seq_len))
    documents = (torch.arange(seq_len) // 40).to(torch.int32).expand(rows, -1).contiguous() if masked else None

    def work() -> None:
        hidden = decoder(ids, documents=documents)
        total, count = cross_entropy(hidden, decoder.output_weight, ids, torch.ones(ids.shape))
        (total / count).backward()

    setting = Setting(
        device="cpu", checkpoint_activations=checkpointed, body=decoder.body, masked=masked, optimizer="adamw"
    )
    found = estimate(decoder.shape, setting, rows=rows, seq_len=seq_len)
    ratio = (found.activations + max(found.loss, found.working)) / peak(work, tmp_path)
    assert 0.95 <= ratio <= 1.12


def shape(**changes: object) -> Shape:
    """Llama 3.1 8B's."""
    spec = {
        "family": "llama", "layers": 32, "dim": 4096, "heads": 32, "kv_heads": 8, "ffn_dim": 14336, "context": 8192,
        "tied": False, **changes,
    }  # fmt: skip
    return Shape.of(ModelSpec.model_validate(spec), 128_256)


def test_parts_that_stay_are_bytes_a_parameter() -> None:
    model = shape()
    n, matrices = model.parameters.total, model.parameters.matrices
    assert n == 8_030_261_248  # as published
    plain = estimate(model, GPU, rows=1, seq_len=8192)
    assert (plain.weights, plain.gradients, plain.optimizer, plain.copies, plain.update) == (4 * n, 4 * n, 8 * n, 0, 0)
    muon = estimate(model, Setting(optimizer="muon", average=True, reference=True), rows=1, seq_len=8192)
    assert (muon.optimizer, muon.copies) == (8 * n - 4 * matrices, 12 * n)
    assert muon.update == 8 * 4096 * 4096 * (4 + 4 + 10 + 4)  # eight of the queries' and outputs' matrices at once


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize(("average", "reference"), [(False, False), (True, False), (True, True)])
def test_the_copy_for_checkpoints_is_what_the_writer_takes(
    optimizer: Literal["adamw", "muon"], average: bool, reference: bool, tmp_path: Path
) -> None:
    spec = ModelSpec(family="llama", layers=3, dim=96, heads=4, kv_heads=2, context=64, tied=False)
    training = Training(Decoder(spec, 1000), OptimizerSpec(name=optimizer))
    training.begin_stage(0, reset=False, average=average, reference=reference)
    if training.average:
        training.average.update()
    setting = Setting(device="cpu", optimizer=optimizer, average=average, reference=reference)
    found = estimate(Shape.of(spec, 1000), setting, rows=1, seq_len=64)
    with CheckpointWriter(tmp_path / "checkpoints", 1, pytest.fail) as writer:
        taken = peak(lambda: writer._copy(training.tensors()), tmp_path)
    assert (found.host, found.checkpoint) == (0, found.weights + found.optimizer + found.copies)
    assert 0 <= taken / found.checkpoint - 1 < 0.001  # beside what moves there is only what counts steps


@pytest.mark.parametrize(
    ("family", "dim", "ffn_dim", "tied"),
    [("llama", 96, 200, False), ("gpt2", 96, None, True), ("qwen2", 128, 512, True)],
)
def test_pinned_copies_are_powers_of_two(family: str, dim: int, ffn_dim: int | None, tied: bool) -> None:
    spec = ModelSpec.model_validate(
        {"family": family, "layers": 3, "dim": dim, "heads": 4, "ffn_dim": ffn_dim, "context": 60, "tied": tied}
    )
    decoder = Decoder(spec, 1000)
    found = estimate(decoder.shape, Setting(average=True, reference=True), rows=1, seq_len=60)
    assert found.checkpoint == 0
    tables = [weight.numel() for weight in decoder.state_dict().values() if weight.dim() > 1]
    sizes = [2 ** math.ceil(math.log2(size * width)) for size in tables for width in (4, 4, 4, 4, 8)]
    assert found.host == sum(sizes) + (4 * 4 + 8) * decoder.shape.parameters.vectors


def test_activations_grow_with_rows_and_shrink_by_checkpointing() -> None:
    model = shape()
    one, two = (estimate(model, GPU, rows=rows, seq_len=8192) for rows in (1, 2))
    casts = 2 * model.parameters.matrices  # the same for any rows
    assert two.activations - casts == 2 * (one.activations - casts)
    kept = estimate(model, Setting(checkpoint_activations=True), rows=1, seq_len=8192)
    assert kept.activations < one.activations / 10
    scores = estimate(model, Setting(body="plain"), rows=1, seq_len=8192).activations - one.activations
    assert scores == 32 * 32 * 8192 * 8192 * 2
    mask = one.activations - estimate(model, Setting(body="flex"), rows=1, seq_len=8192).activations
    assert mask == 8192 * 8192 * 2


def test_the_peak_is_the_largest_of_what_does_not_coincide() -> None:
    parts = {"weights": 1, "gradients": 2, "optimizer": 4, "copies": 8, "checkpoint": 16, "activations": 100}
    assert Memory(**parts, loss=50, working=60, update=10, host=1000).total == 31 + 160
    assert Memory(**parts, loss=70, working=60, update=500, host=1000).total == 31 + 500


def test_rows_are_as_many_as_fit_in_equal_shares() -> None:
    model = shape(layers=4)
    one = estimate(model, GPU, rows=1, seq_len=4096).total
    many = estimate(model, GPU, rows=10, seq_len=4096).total
    device = Room(int(many / 0.92) + 1, 0, "a device")
    assert largest_micro_batch_size(model, GPU, device, seq_len=4096, at_most=10) == 10
    assert largest_micro_batch_size(model, GPU, device, seq_len=4096, at_most=3) == 3
    assert largest_micro_batch_size(model, GPU, device, seq_len=4096, at_most=12) == 6
    assert largest_micro_batch_size(model, GPU, device, seq_len=4096, at_most=100) == 10
    with pytest.raises(TrainerError) as caught:
        largest_micro_batch_size(model, GPU, Room(one // 2, one, "a device"), seq_len=4096, at_most=10)
    for told in (
        "1 rows of 4096",
        in_words(one),
        "a device has",
        "checkpoint_activations=true",
        "weights ",
        "working ",
    ):
        assert told in str(caught.value)


def test_what_is_not_free_is_refused() -> None:
    model = shape(layers=4)
    needed = estimate(model, GPU, rows=2, seq_len=4096)
    assert check(model, GPU, Room(0, needed.total, "a device"), rows=2, seq_len=4096) == needed
    with pytest.raises(TrainerError, match="2 rows of 4096 positions need"):
        check(model, GPU, Room(10 * needed.total, needed.total - 1, "a device"), rows=2, seq_len=4096)


def test_device_and_host_are_told_apart() -> None:
    model = shape(layers=4)
    needed = estimate(model, GPU, rows=2, seq_len=4096)
    device, host = Room(0, needed.total, "a GPU"), Room(0, needed.host, "this host")
    asked = {"rows": 2, "seq_len": 4096}
    assert check(model, GPU, device, **asked, host=host) == needed
    with pytest.raises(TrainerError) as caught:
        check(model, GPU, device, **asked, host=Room(2**50, needed.host - 1, "this host"))
    assert f"a pinned copy of {in_words(needed.host)} in the host's memory, and this host has" in str(caught.value)
    assert "though a GPU has enough" in str(caught.value)
    with pytest.raises(TrainerError, match=r"2 rows of 4096 positions need .*, a GPU has .* for it"):
        check(model, GPU, Room(2**50, needed.total - 1, "a GPU"), **asked, host=host)
    own = estimate(model, Setting(device="cpu"), rows=2, seq_len=4096)
    short = Room(2**50, own.total - 1, "this host")  # where the device is the host, both parts are one
    with pytest.raises(TrainerError, match=f"checkpoint {in_words(own.checkpoint)}.*, this host has .* for it"):
        check(model, Setting(device="cpu"), short, **asked)


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0.00 KiB"), (3 * 2**29, "1.50 GiB"), (2**20, "1.00 MiB"), (1536, "1.50 KiB")]
)
def test_bytes_in_words(count: int, told: str) -> None:
    assert in_words(count) == told


def test_the_host_has_room() -> None:
    found = room(torch.device("cpu"))
    assert 2**28 < found.free <= found.total < 2**45
    assert found.where == "this host"


def group(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_control_groups_of_version_2_limit_it(tmp_path: Path) -> None:
    group(tmp_path / "proc/self", {"cgroup": "0::/jobs/mine\n"})
    top = tmp_path / "sys/fs/cgroup"
    mine = {"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": "anon 500\ninactive_file 150\n"}
    group(top / "jobs/mine", mine)
    group(top / "jobs", {"memory.max": "max\n", "memory.current": "900\n"})
    group(top, {"memory.max": "5000", "memory.current": "4000"})
    assert list(group_limits(tmp_path)) == [(1000, 550), (5000, 4000)]


def test_control_groups_of_version_1_limit_it(tmp_path: Path) -> None:
    group(tmp_path / "proc/self", {"cgroup": "5:cpu,cpuacct:/a\n4:memory:/seen/from/outside\n"})
    limits = {"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "300", "memory.stat": "total_inactive_file 100"}
    group(tmp_path / "sys/fs/cgroup/memory", limits)
    assert list(group_limits(tmp_path)) == [(1000, 200)]
    (tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes").write_text(str(2**63 - 4096))
    assert list(group_limits(tmp_path)) == []


def test_without_control_groups_nothing_limits_it(tmp_path: Path) -> None:
    assert list(group_limits(tmp_path)) == []
