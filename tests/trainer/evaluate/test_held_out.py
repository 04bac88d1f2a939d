"""Held-out documents, their loss, and gates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash

from schemas.training import GateSpec, SourceSpec, StageSpec
from tests.trainer import nano
from tests.trainer.curated import document, write
from tests.trainer.evaluate.models import copier, decoder, tokenizer
from trainer.errors import TrainerError
from trainer.evaluate import held_out
from trainer.evaluate.bits_per_byte import evaluate
from trainer.evaluate.held_out import ROWS, HeldOut, held_out_documents, parts
from trainer.evaluate.log_probs import Ids
from trainer.evaluate.needle import shortest_row
from trainer.evaluate.read import texts
from trainer.plan.sources import SourceRuns
from trainer.segments.library import Library
from trainer.segments.read import Segments
from trainer.segments.tokenize import tokenize

OWN = tokenizer()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nano.corpus(tmp_path_factory.mktemp("held") / "data", 120)


@pytest.fixture(scope="module")
def segments(data: Path) -> Segments:
    return sealed(data)


def sealed(data: Path) -> Segments:
    return Segments.open(tokenize(str(data), "text", OWN, str(data.parent / "segments")))


def found(segments: Segments, part: float, **spec: Any) -> list[Ids]:
    return held_out_documents("web", SourceSpec(**spec), segments, part)


def hashed(number: int) -> int:
    return xxhash.xxh3_64_intdigest(f"<urn:{number}>".encode())


def kept_back(numbers: Sequence[int], share: float) -> list[int]:
    """Those that are held out, by rising hash."""
    own = [n for n in numbers if xxhash.xxh3_64_intdigest(hashed(n).to_bytes(8, "little"), 1) < share * 2**64]
    return sorted(own, key=hashed)


def ids(number: int) -> list[int]:
    (document,) = OWN.encode_documents([nano.prose(number, "ko" if number % 3 == 2 else "en")])
    return [int(n) for n in document]


def test_they_are_those_by_hash(segments: Segments, data: Path) -> None:
    rows = [row.tolist() for row in found(segments, 0.2)]
    wanted = OWN.encode_documents([text.text for text in texts(str(data), 0.2)])
    assert sorted(rows) == sorted(row.tolist() for row in wanted)
    assert rows == [ids(number) for number in kept_back(range(120), 0.2)]
    assert len(rows) > 10


def test_they_are_the_sources_own(segments: Segments) -> None:
    korean = found(segments, 0.4, where="language = 'ko'")
    assert [row.tolist() for row in korean] == [ids(number) for number in kept_back(range(2, 120, 3), 0.4)]
    shared = found(segments, 0.4, share=(0.5, 0.8))
    wanted = [number for number in kept_back(range(120), 0.4) if 0.5 <= hashed(number) / 2**64 < 0.8]
    assert [row.tolist() for row in shared] == [ids(number) for number in wanted]
    assert len(korean) > 5 < len(shared)
    both = found(segments, 0.4, where="language = 'ko'", share=(0.5, 0.8))
    assert [row.tolist() for row in both] == [ids(number) for number in wanted if number % 3 == 2]
    with pytest.raises(TrainerError, match=r"source 'web', where 'lang = 1': .* has no columns"):
        found(segments, 0.4, where="lang = 1")


def test_there_are_not_too_many(segments: Segments) -> None:
    rows = found(segments, 1.0)
    assert [row.tolist() for row in rows] == [ids(number) for number in sorted(range(120), key=hashed)[:ROWS]]
    assert found(segments, 0.0) == []


def test_the_order_in_the_files_says_nothing(segments: Segments, tmp_path: Path) -> None:
    rows = [document(number, nano.prose(number, "ko" if number % 3 == 2 else "en")) for number in range(120)]
    other = sealed(write(tmp_path / "data", [rows[::-1]]))
    assert [row.tolist() for row in found(other, 0.8)] == [row.tolist() for row in found(segments, 0.8)]


def test_large_data_is_not_read_as_a_whole(segments: Segments, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough segments from all over it, more only where they hold too few, and not without end."""
    whole, (many,) = segments.manifest, segments.manifest.segments[:1]
    lasting = whole.model_copy(update={"segments": (many,) * 40})
    seen: list[int] = []

    class Long(Segments):
        def columns(self, i: int, names: Sequence[str] | None = None) -> Any:
            seen.append(i)
            return super().columns(i, names)

    long = Long(segments.folder, lasting)
    monkeypatch.setattr(held_out, "SEGMENTS", 3)
    monkeypatch.setattr(held_out, "MOST_SEGMENTS", 12)
    one = len(found(Segments(segments.folder, whole.model_copy(update={"segments": (many,)})), 0.2))
    assert 64 / 12 < one < 64 / 3
    for part, where, rows, read in ((1.0, "", ROWS, 3), (0.2, "", ROWS, -(-ROWS // one)), (1.0, "id_hash = 1", 0, 12)):
        seen.clear()
        assert len(found(long, part, where=where)) == rows
        assert len(seen) == len(set(seen)) == read
        assert max(seen) > 12


@pytest.mark.parametrize("documents", [120, 150])
def test_none_of_them_is_ever_drawn(data: Path, tmp_path: Path, documents: int) -> None:
    """By no source of the same folder, whatever it takes of it, and not when the data has grown."""
    grown = sealed(nano.corpus(tmp_path / "data", documents))
    specs: list[dict[str, Any]] = [
        {},
        {"where": "language = 'en'"},
        {"where": "language = 'ko'", "share": (0.0, 0.7)},
        {"share": (0.3, 1)},
    ]
    back = {tuple(row.tolist()) for one in (sealed(data), grown) for spec in specs for row in found(one, 0.3, **spec)}
    drawn: set[tuple[int, ...]] = set()
    for spec in specs:
        runs = SourceRuns("web", SourceSpec(**spec), Library([grown]), 0, (1, "s"), 0.3)
        for run in (runs.run(0, place) for place in range(len(runs))):
            for start, size in zip(run.start, run.tokens, strict=True):
                drawn.add(tuple(grown.read(run.segment, "tokens", int(start), int(start + size)).tolist()))
    assert back.isdisjoint(drawn)
    assert len(back | drawn) == documents  # none is neither


def test_each_source_has_its_part() -> None:
    sources = {name: SourceSpec() for name in "abcd"} | {"chats": SourceSpec(kind="chat")}
    ramp = [[0, {"a": 3, "b": 1, "chats": 4, "d": 0}], [1000, {"a": 1, "b": 1}], [5000, {"c": 1}]]
    stage = StageSpec.model_validate({"name": "s", "mix": ramp, "tokens": 2000, "lr": {"from": 1}})
    assert parts(stage, sources) == {"a": 38, "b": 27}  # of 64, 875 to 625
    rare = stage.model_copy(update={"mix": ((0, {"a": 999.0, "b": 1.0}),), "tokens": None, "epochs": 1.0})
    assert parts(rare, sources) == {"a": 64, "b": 1}
    assert parts(rare.model_copy(update={"mix": ((0, {"chats": 1.0}),)}), sources) == {}


def test_documents_without_a_target_measure_nothing(tmp_path: Path) -> None:
    rows = [document(number, "") for number in range(40)]
    empty = sealed(write(tmp_path / "data", [rows], rows_per_group=50))
    assert found(empty, 1.0) == []
    with pytest.raises(TrainerError, match="gate of stage 's' needs held-out text"):
        HeldOut([], OWN).check(GateSpec(recovered=1.0), "s", 64)


def test_loss_as_eval_gives_it(segments: Segments, data: Path) -> None:
    """But for the EOS that ends a document here."""
    model = decoder(OWN, context=1000)
    held = HeldOut(found(segments, 0.2), OWN)
    whole, _ = evaluate(model, OWN, texts(str(data), 0.2), 1000)
    loss = held.loss(model, 999)
    assert loss.targets == whole.targets + loss.texts == whole.targets + whole.texts
    assert loss.bytes == whole.bytes
    cut, _ = evaluate(model, OWN, texts(str(data), 0.2), 21)
    assert (held.loss(model, 20).targets, held.loss(model, 20).bytes) == (cut.targets, cut.bytes)
    assert held.loss(model, 20).nats == pytest.approx(cut.nats, rel=1e-5)
    assert HeldOut([], OWN).loss(model, 20).targets == 0


def test_gates(segments: Segments) -> None:
    model = decoder(OWN)
    held = HeldOut(found(segments, 0.2), OWN)
    loss = held.loss(model, 16).loss
    both = GateSpec(recovered=1.0, needle=0.5)
    equal = held.judge(copier(OWN), both, 16, held.loss(copier(OWN), 16).loss, 40)
    assert (equal.passed, equal.needle, equal.why) == (True, 1.0, "all that is asked holds")
    worse = held.judge(model, GateSpec(recovered=1.1), 16, loss / 1.2, 40)
    assert (worse.passed, worse.needle, worse.loss, worse.loss_before) == (False, None, loss, loss / 1.2)
    assert worse.why == f"held-out loss {loss:.4f} is above 1.1 x {loss / 1.2:.4f}"
    assert held.judge(model, GateSpec(recovered=1.1), 16, loss / 1.1, 40).passed is True
    blind = held.judge(model, GateSpec(recovered=0.5, needle=1.0), 16, loss, 40)
    assert (blind.passed, blind.why.count(";")) == (False, 1)
    assert "of the needles are found at length 40, 100% are asked" in blind.why


def test_a_gate_that_can_not_be_held_against(segments: Segments) -> None:
    least = shortest_row(OWN)
    HeldOut(found(segments, 0.2), OWN).check(GateSpec(needle=0.5), "s", least)
    with pytest.raises(TrainerError, match=rf"stage 's' looks for needles in rows of {least - 1} positions"):
        HeldOut(found(segments, 0.2), OWN).check(GateSpec(needle=0.5), "s", least - 1)
    HeldOut(found(segments, 0.2), OWN).check(GateSpec(recovered=1.0), "s", least - 1)
    with pytest.raises(TrainerError, match="gate of stage 's' needs held-out text"):
        HeldOut([], OWN).check(GateSpec(recovered=1.0), "s", 64)


def test_ids_of_any_width_are_scored(segments: Segments) -> None:
    held = HeldOut(found(segments, 0.2), OWN)
    assert {row.dtype for row in held.documents} == {np.dtype(np.uint16)}
