"""From a curated folder to steps: every token behind a document's first is a target as often as the plan says."""

from collections import Counter
from pathlib import Path

import pytest

from schemas.training import SourceSpec, StageSpec
from tests.trainer.bytes_tokenizer import BytesTokenizer
from tests.trainer.curated import document, write
from trainer.loader import PlanSource
from trainer.plan.chain import Plan
from trainer.segments.library import Library
from trainer.segments.read import Segments
from trainer.segments.tokenize import tokenize

TOKENIZER = BytesTokenizer()
TEXTS = [f"{n:04d} " + chr(97 + n % 26) * (n * 37 % 190) for n in range(400)]
"""Some longer than a row of 64."""


@pytest.fixture
def source(tmp_path: Path) -> PlanSource:
    folder = write(tmp_path / "curated", [[document(n, TEXTS[n]) for n in range(k, 400, 2)] for k in range(2)])
    made = tokenize(str(folder), "text", TOKENIZER, str(tmp_path / "s"), segment_tokens=5000)
    library = Library([Segments.open(made)])
    stage = StageSpec.model_validate(
        {"name": "a", "mix": {"web": 1}, "epochs": 2, "seq_len": 64, "batch": 64 * 21, "lr": {"from": 1}}
    )
    return PlanSource(Plan(stage, {"web": SourceSpec()}, 3, 0.0, library, {"web": 0}, tmp_path / "plan"), library)


@pytest.mark.parametrize("world", [1, 2, 3, 4, 8])
def test_every_target_twice_in_two_passes(source: PlanSource, world: int) -> None:
    found: Counter[tuple[int, ...]] = Counter()
    targets = 0
    for rank in range(world):
        for step in source.steps(None, rank, world, 4):
            targets += step.targets if rank == 0 else 0
            for batch in step.batches:
                for tokens, after, weights, numbers in zip(
                    batch.tokens, batch.targets, batch.weights, batch.documents, strict=True
                ):
                    for piece in range(int(numbers.max()) + 1):
                        mine = numbers == piece
                        assert weights[mine].min() == 1
                        found[(*tokens[mine].tolist(), int(after[mine][-1]))] += 1
    wanted: Counter[tuple[int, ...]] = Counter()
    for text in TEXTS:
        ids = (*text.encode(), TOKENIZER.eos_id)
        for start in range(0, len(ids) - 1, 64):
            wanted[ids[start : start + 65]] += 2
    assert found == wanted
    assert targets == 2 * sum(len(text.encode()) for text in TEXTS) == source.total_targets
