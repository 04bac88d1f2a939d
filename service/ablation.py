"""Does curation help? The same small model on two data sets, seed by seed, judged on text that neither has seen."""

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xxhash import xxh3_64_intdigest

from dedup.minhash import MinHash
from schemas.records import Document
from schemas.training import TokenizerSpec, TrainingSpec
from storage.commit import replace_atomic
from trainer import own_tokenizer
from trainer.corpus import Corpus, sample_rows
from trainer.errors import ForeignError, TrainerError
from trainer.evaluate.bits_per_byte import Text, evaluate
from trainer.tokenizer import bpe
from trainer.tokenizer.tokenizer import Tokenizer
from trainer.train.dry_run import dry_run
from trainer.train.run import train
from trainer.train.start import Options, Watcher
from trainer.trained import TOKENIZER_FOLDER, open_trained

ARMS = "arms.json"
LEAST_SEEDS = 5
NULL_ORDER = 1_000_000
"""Added to the seed of the data's order, the null arm's only difference; of any number of seeds the same."""
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""Student's t, two-sided 95 %, by degrees of freedom from 1 on; with more, the last one, which is too wide."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean of paired differences with its 95 % confidence interval (Student's t over the seeds)."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, differences: Sequence[float]) -> "Interval":
        """From one difference a seed, two at least."""
        n = len(differences)
        mean = statistics.fmean(differences)
        t = T_975[min(n - 2, len(T_975) - 1)]
        half = t * statistics.stdev(differences) / math.sqrt(n)
        return cls(mean, mean - half, mean + half)

    @property
    def covers_zero(self) -> bool:
        """Whether no difference is a possibility."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True)
class Held:
    """Held-out texts after deduplication against every arm."""

    texts: tuple[Text, ...]
    given: int
    dropped: int
    """Near duplicates of a document of an arm, or copies of one that is held already."""


def hold_out(texts: Iterable[Text], arms: Mapping[str, Corpus]) -> Held:
    """Drops held-out texts that share a MinHash bucket or their whole text with a document of any arm.

    Args:
      texts: From sources that neither arm filtered.
      arms: Every data set that is trained on; each is read once.

    Raises:
      TrainerError: None is left.
    """
    minhash = MinHash(scope=()).setup({})
    held: list[Text] = []
    at: dict[int, list[int]] = {}
    given = 0
    for text in texts:
        given += 1
        own = _keys(minhash, text.text)
        if not own & at.keys():
            for key in own:
                at.setdefault(key, []).append(len(held))
            held.append(text)
    if not given:
        raise TrainerError(
            "there is no held-out text: the file is empty; give texts of sources that neither arm filtered"
        )
    met: set[int] = set()
    for corpus in arms.values():
        for shard in corpus.shards:
            for batch in corpus.rows(shard, words=()):
                for found in batch["text"].to_pylist():
                    met.update(n for key in _keys(minhash, found or "") for n in at.get(key, ()))
    left = tuple(text for n, text in enumerate(held) if n not in met)
    if not left:
        raise TrainerError(
            f"none of the {given:,} held-out texts is new: all are near duplicates of documents of the arms; hold text "
            "out from other sources"
        )
    return Held(left, given, given - len(left))


def _keys(minhash: MinHash, text: str) -> frozenset[int]:
    """Bucket keys, and a hash of the whole text, which short texts have alone."""
    return frozenset({*map(int, minhash.keys(Document(text=text))), xxh3_64_intdigest(" ".join(text.split()).encode())})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came out, in bits per byte on the held-out texts: less is better."""

    recipe: str
    targets: int
    """Of every training."""
    held_out: Held
    losses: Mapping[str, tuple[float, ...]]
    """Arm -> bits per byte, a seed each."""
    epochs: Mapping[str, float]
    """Arm -> how often its documents were gone over."""
    difference: Interval
    """curated - raw, paired by seed."""
    null: Interval
    """curated in another order - curated: what chance alone does."""

    @property
    def verdict(self) -> str:
        """In words. No effect at this scale is a result."""
        if not self.null.covers_zero:
            return "the null arm differs from itself: chance is not what the intervals say; take more seeds"
        if self.difference.covers_zero:
            return "no effect at this scale"
        better = "curated" if self.difference.mean < 0 else "raw"
        return f"{better} is better by {abs(self.difference.mean):.4f} bits per byte"

    def json(self) -> str:
        """One object; the held-out texts as counts."""
        figures = {key: value for key, value in asdict(self).items() if key != "held_out"}
        counts = {"given": self.held_out.given, "dropped": self.held_out.dropped, "texts": len(self.held_out.texts)}
        return json.dumps({**figures, "held_out": counts, "verdict": self.verdict}, ensure_ascii=False)


def ablate(
    recipe: str,
    spec: TrainingSpec,
    arms: Mapping[str, str],
    texts: Iterable[Text],
    output: Path,
    watcher: Watcher,
    seeds: int = LEAST_SEEDS,
    segments: str = "",
) -> Outcome:
    """Trains the recipe on both arms and on the first arm again in another order, seed by seed.

    All trainings have one tokenizer (from the union), the same targets, and by seed the same initial weights. What is
    finished stays: the same call goes on.

    Args:
      recipe: Its name.
      spec: Of one text source, with a model.
      arms: `curated` and `raw`: curated folders.
      texts: Held out beforehand from sources that neither arm filtered.
      output: Of all trainings, and of ablation.json.
      watcher: Is told of progress.
      seeds: How many, from the recipe's on; at least LEAST_SEEDS. Of more than before only the new ones are trained.
      segments: As of `Options`.

    Raises:
      TrainerError: Fewer seeds, another kind of recipe, no data, or no held-out text left.
      ForeignError: The output was begun with other data: its trainings can't be compared with those to come.
    """
    _check(recipe, spec, seeds)
    corpora = {name: Corpus(folder) for name, folder in arms.items()}
    held = hold_out(texts, corpora)
    _claim(output / ARMS, corpora)
    tokenizer = output / TOKENIZER_FOLDER
    own = own_tokenizer.kept(tokenizer, lambda: _union(spec.tokenizer, arms.values(), spec.seed))
    options = Options(tokenizer=tokenizer, segments=segments)
    (name,) = (source.data for source in spec.sources.values())
    losses: dict[str, list[float]] = {arm: [] for arm in (*arms, "null")}
    for seed in range(spec.seed, spec.seed + seeds):
        for arm, found in losses.items():
            order = seed + (NULL_ORDER if arm == "null" else 0)
            one = spec.model_copy(update={"seed": seed, "data_seed": order})
            data = {name: arms["curated"] if arm == "null" else arms[arm]}
            if not train(recipe, one, data, output / f"{arm}-{seed}", options, watcher):
                raise KeyboardInterrupt
            found.append(_bits_per_byte(output / f"{arm}-{seed}", held))
            watcher.note(f"{arm}, seed {seed}: {found[-1]:.4f} bits per byte")
    outcome = Outcome(
        recipe=recipe,
        targets=sum(stage.tokens or 0 for stage in spec.stages),
        held_out=held,
        losses={arm: tuple(found) for arm, found in losses.items()},
        epochs={arm: _epochs(dry_run(spec, {name: folder}, own, segments)) for arm, folder in arms.items()},
        difference=_paired(losses["curated"], losses["raw"]),
        null=_paired(losses["null"], losses["curated"]),
    )
    replace_atomic(str(output / "ablation.json"), outcome.json().encode())
    return outcome


def _check(recipe: str, spec: TrainingSpec, seeds: int) -> None:
    if seeds < LEAST_SEEDS:
        raise TrainerError(f"{seeds} seeds make no interval worth having; take {LEAST_SEEDS} or more")
    if [source.kind for source in spec.sources.values()] != ["text"]:
        raise TrainerError(f"{recipe} reads sources {sorted(spec.sources)}; ablations compare one source of text")
    if spec.data_seed is not None:
        raise TrainerError(f"{recipe} sets data_seed {spec.data_seed!r}; its seeds order an ablation's data: set seed")
    if any(stage.tokens is None for stage in spec.stages):
        raise TrainerError(f"{recipe} counts epochs; arms are to see equally many targets: give its stages tokens")


def _claim(path: Path, corpora: Mapping[str, Corpus]) -> None:
    """Whose output it is: the arms' shards by their hashes."""
    hashes = {name: [shard.sha256 for shard in corpus.shards] for name, corpus in corpora.items()}
    if path.exists():
        begun = json.loads(path.read_bytes())
        for name, shards in hashes.items():
            if begun.get(name) != shards:
                raise ForeignError(
                    f"{str(path.parent)!r} was begun with other {name} data than {corpora[name].folder!r} holds now; "
                    "give that data, or another --output"
                )
    replace_atomic(str(path), json.dumps(hashes).encode())


def _bits_per_byte(folder: Path, held: Held) -> float:
    trained = open_trained(folder)
    loss, _ = evaluate(trained.decoder, trained.tokenizer, held.texts, trained.decoder.spec.context)
    return loss.bits_per_byte


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    return Interval.of([a - b for a, b in zip(ours, theirs, strict=True)])


def _epochs(stages: Iterable[tuple[Any, Any]]) -> float:
    """The most of any stage's sources."""
    return max(part.epochs for _, plan in stages for part in plan.sources.values())


def _union(spec: TokenizerSpec, folders: Iterable[str], seed: int) -> Tokenizer:
    folders = list(folders)
    share = -(-spec.texts // len(folders))
    texts = (text for folder in folders for _, text in sample_rows(folder, share, seed))
    return Tokenizer.from_json(bpe.train(texts, spec))
