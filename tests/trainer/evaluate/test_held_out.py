"""Held-out documents, their loss, and gates."""

from pathlib import Path

import numpy as np
import pytest
import xxhash

from schemas.training import GateSpec
from tests.trainer import nano
from tests.trainer.curated import document, write
from tests.trainer.evaluate.models import copier, decoder, tokenizer
from trainer.errors import TrainerError
from trainer.evaluate.bits_per_byte import evaluate
from trainer.evaluate.held_out import ROWS, HeldOut, held_out_documents
from trainer.evaluate.needle import shortest_row
from trainer.evaluate.read import texts
from trainer.segments.library import Library
from trainer.segments.read import Segments
from trainer.segments.tokenize import tokenize

OWN = tokenizer()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nano.corpus(tmp_path_factory.mktemp("held") / "data", 120)


@pytest.fixture(scope="module")
def library(data: Path) -> Library:
    return Library([Segments.open(tokenize(str(data), "text", OWN, str(data.parent / "segments")))])


def test_they_are_those_by_hash(library: Library, data: Path) -> None:
    found = held_out_documents(library, [0, 0], 0.2)
    wanted = OWN.encode_documents([text.text for text in texts(str(data), 0.2)])
    assert len(found) > 10
    assert [row.tolist() for row in found] == [row.tolist() for row in wanted]
    ids = [f"<urn:{n}>" for n in range(120)]
    hashes = [xxhash.xxh3_64_intdigest(name.encode()).to_bytes(8, "little") for name in ids]
    assert len(found) == sum(xxhash.xxh3_64_intdigest(own, 1) < 0.2 * 2**64 for own in hashes)


def test_there_are_not_too_many(library: Library) -> None:
    assert len(held_out_documents(library, [0], 1.0)) == ROWS
    assert held_out_documents(library, [0], 0.0) == []
    assert held_out_documents(library, [], 0.5) == []


def test_documents_without_a_target_measure_nothing(tmp_path: Path) -> None:
    rows = [document(number, "") for number in range(40)]
    empty = str(write(tmp_path / "data", [rows], rows_per_group=50))
    library = Library([Segments.open(tokenize(empty, "text", OWN, str(tmp_path / "segments")))])
    assert held_out_documents(library, [0], 1.0) == []
    with pytest.raises(TrainerError, match="gate of stage 's' needs held-out text"):
        HeldOut(library, [0], 1.0, OWN).check(GateSpec(recovered=1.0), "s", 64)


def test_loss_as_eval_gives_it(library: Library, data: Path) -> None:
    """But for the EOS that ends a document here."""
    model = decoder(OWN, context=1000)
    held = HeldOut(library, [0], 0.2, OWN)
    whole, _ = evaluate(model, OWN, texts(str(data), 0.2), 1000)
    found = held.loss(model, 999)
    assert found.targets == whole.targets + found.texts == whole.targets + whole.texts
    assert found.bytes == whole.bytes
    cut, _ = evaluate(model, OWN, texts(str(data), 0.2), 21)
    assert (held.loss(model, 20).targets, held.loss(model, 20).bytes) == (cut.targets, cut.bytes)
    assert held.loss(model, 20).nats == pytest.approx(cut.nats, rel=1e-5)
    assert HeldOut(library, [0], 0.0, OWN).loss(model, 20).targets == 0


def test_gates(library: Library) -> None:
    model = decoder(OWN)
    held = HeldOut(library, [0], 0.2, OWN)
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


def test_a_gate_that_can_not_be_held_against(library: Library) -> None:
    least = shortest_row(OWN)
    HeldOut(library, [0], 0.2, OWN).check(GateSpec(needle=0.5), "s", least)
    with pytest.raises(TrainerError, match=rf"stage 's' looks for needles in rows of {least - 1} positions"):
        HeldOut(library, [0], 0.2, OWN).check(GateSpec(needle=0.5), "s", least - 1)
    HeldOut(library, [0], 0.2, OWN).check(GateSpec(recovered=1.0), "s", least - 1)
    with pytest.raises(TrainerError, match="gate of stage 's' needs held-out text"):
        HeldOut(library, [0], 0.0, OWN).check(GateSpec(recovered=1.0), "s", 64)


def test_ids_of_any_width_are_scored(library: Library) -> None:
    held = HeldOut(library, [0], 0.2, OWN)
    assert {row.dtype for row in held.documents} == {np.dtype(np.uint16)}
