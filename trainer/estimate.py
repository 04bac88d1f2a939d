"""What a recipe takes before anything is read: parameters, memory, FLOPs, hours, price.

Hours follow from a share of the machine's peak that its products reach (model FLOPs utilisation, 6N + 12LdT a token);
what was published with a run of the same shape stands beside them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from schemas.training import StageSpec, TrainingSpec
from trainer.errors import TrainerError
from trainer.model.devices import PEAK_FLOPS
from trainer.model.memory import Memory, estimate, in_words
from trainer.model.room import Room
from trainer.model.shape import Shape
from trainer.train.micro_batch_size import fitting, longest_row, setting, together

_GB = 10**9


@dataclass(frozen=True, slots=True)
class Machine:
    """A node of GPUs."""

    name: str
    gpu: str
    """In `PEAK_FLOPS`."""
    gpus: int
    memory: int
    """Bytes of one GPU."""
    dollars_an_hour: float | None = None
    """Of the node, as paid for a published run."""


MACHINES = {
    machine.name: machine
    for machine in (
        Machine("8xA100", "A100", 8, 80 * _GB, 14.0),  # some $20 for 90 minutes, see PUBLISHED
        Machine("8xH100", "H100", 8, 80 * _GB, 28.0),  # $672 for 24 hours, see PUBLISHED
        Machine("8xH200", "H200", 8, 141 * _GB),
        Machine("1xH200", "H200", 1, 141 * _GB),
    )
}


@dataclass(frozen=True, slots=True)
class Published:
    """What a run of the same shape is said to have taken."""

    machine: str
    hours: float
    dollars: float
    source: str


PUBLISHED = {
    "gpt2-124m": Published("8xA100", 1.5, 20, "https://github.com/karpathy/llm.c/discussions/481"),
    "gpt2-1.6b": Published("8xH100", 24, 672, "https://github.com/karpathy/llm.c/discussions/677"),
}

UTILISATION = 0.5
"""Of the peak, where no other share is given: about what llm.c's runs reached."""


@dataclass(frozen=True, slots=True)
class StageCost:
    """Of one stage."""

    name: str
    targets: int | None
    """None: as many as its sources hold, which only they know."""
    flops: int | None
    flops_per_target: int
    """At the length that it ends with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a recipe takes on a machine."""

    recipe: str
    shape: Shape
    machine: Machine
    utilisation: float
    stages: tuple[StageCost, ...]
    widest: str
    """The stage that takes most memory."""
    micro_batch_size: int | None
    """Rows that go through a GPU at once in that stage; None: not even one fits."""
    memory: Memory
    """Of one GPU in that stage."""
    host: int
    """Bytes of the first machine's own memory, in the stage that takes most of it."""

    @property
    def flops(self) -> int:
        """Of all stages whose targets are known."""
        return sum(stage.flops or 0 for stage in self.stages)

    @property
    def machine_flops(self) -> float:
        """That the whole machine makes a second."""
        return self.machine.gpus * PEAK_FLOPS[self.machine.gpu] * self.utilisation

    @property
    def hours(self) -> float:
        """Of the whole machine."""
        return self.flops / self.machine_flops / 3600

    @property
    def dollars(self) -> float | None:
        """None where the machine has no price."""
        price = self.machine.dollars_an_hour
        return None if price is None else price * self.hours

    @property
    def tokens_per_second(self) -> float:
        """Targets of all known stages over their seconds."""
        return sum(stage.targets or 0 for stage in self.stages) / (3600 * self.hours) if self.flops else 0.0

    def lines(self) -> Iterator[tuple[str, str]]:
        """(what, how much), to be shown below each other."""
        counts, machine = self.shape.parameters, self.machine
        yield (
            "parameters",
            (
                f"{counts.total:,}: matrices {counts.matrices:,}, embedding {counts.embedding:,}, "
                f"positions {counts.positions:,}, output {counts.output:,}, norms and biases {counts.vectors:,}"
            ),
        )
        for stage in self.stages:
            if stage.targets is None or stage.flops is None:
                each = f"{stage.flops_per_target:.3g} FLOPs each"
                yield f"stage {stage.name}", f"as many targets as its sources hold, {each}; not counted below"
            else:
                yield f"stage {stage.name}", f"{stage.targets:,} targets, {stage.flops:.3g} FLOPs"
        fits = f"{self.micro_batch_size} rows at once" if self.micro_batch_size else "not even one row fits"
        yield f"memory of a GPU ({self.widest})", f"{self.memory} of {in_words(machine.memory)}; {fits}"
        yield "memory of the host", f"{in_words(self.host)} pinned on the first machine, to write checkpoints from"
        yield from self._time()
        if told := PUBLISHED.get(self.recipe):
            yield "published", f"{told.hours:g} h on {told.machine}, ${told.dollars:g} ({told.source})"

    def _time(self) -> Iterator[tuple[str, str]]:
        """How long, where that does not depend on the data alone."""
        peak = f"at {self.utilisation:.0%} of {self.machine.name}'s peak"
        if not self.flops:
            yield "throughput", f"{self.machine_flops:.3g} FLOPs/s {peak}"
            yield "time and price", "depend on how many targets the sources hold, which --dry-run counts"
            return
        yield "throughput", f"{self.tokens_per_second:,.0f} tokens/s {peak}"
        price = "no price known" if self.dollars is None else f"${self.dollars:,.0f}"
        yield "time and price", f"{self.hours:,.1f} h on {self.machine.name}, {price}; {self.flops:.3g} FLOPs"


def of_recipe(recipe: str, spec: TrainingSpec, machine: str = "", *, utilisation: float = UTILISATION) -> Estimate:
    """The estimate of a recipe.

    Args:
      recipe: Its name.
      spec: What it says.
      machine: One of MACHINES; empty: that of the published run, else 8xH100.
      utilisation: Share of the machine's peak.

    Raises:
      TrainerError: The recipe gives no model, or no machine has the name.
    """
    if spec.model is None:
        raise TrainerError(f"recipe {recipe!r} gives no model of its own, so there is nothing to estimate")
    told = PUBLISHED.get(recipe)
    name = machine or (told.machine if told else "8xH100")
    if name not in MACHINES:
        raise TrainerError(f"no machine is named {name!r}; there are {', '.join(MACHINES)}")
    rows = spec.model.vocab_size or -(-spec.tokenizer.vocab_size // 64) * 64
    shape, node = Shape.of(spec.model, rows), MACHINES[name]
    needs = [(_memory(shape, spec, stage, node), stage.name) for stage in spec.stages]
    (memory, micro_batch_size), widest = max(needs, key=lambda need: need[0][0].total)
    return Estimate(
        recipe=recipe,
        shape=shape,
        machine=node,
        utilisation=utilisation,
        stages=tuple(_cost(shape, stage) for stage in spec.stages),
        widest=widest,
        micro_batch_size=micro_batch_size,
        memory=memory,
        host=max(need.host for (need, _), _ in needs),
    )


def _cost(shape: Shape, stage: StageSpec) -> StageCost:
    """By the length that holds for each part of the stage; DPO's reference goes forwards only, a third of both ways."""

    def each(length: int) -> int:
        return shape.flops(length) * 4 // 3 if stage.loss.name == "dpo" else shape.flops(length)

    last = each(stage.seq_len[-1][1])
    if stage.tokens is None:
        return StageCost(stage.name, None, None, last)
    ends = [*(at for at, _ in stage.seq_len[1:]), stage.tokens]
    flops, start = 0, 0
    for (_, length), end in zip(stage.seq_len, ends, strict=True):
        stop = min(end, stage.tokens)
        flops += max(stop - start, 0) * each(length)
        start = max(start, stop)
    return StageCost(stage.name, stage.tokens, flops, last)


def _memory(shape: Shape, spec: TrainingSpec, stage: StageSpec, machine: Machine) -> tuple[Memory, int | None]:
    """Of the rows that a GPU takes at once at the stage's longest; of the fewest where not even they fit."""
    own, room = setting(spec, stage, "cuda"), Room(machine.memory, machine.memory, machine.gpu)
    try:
        rows = fitting(shape, spec, stage, room, own, machine.gpus)
    except TrainerError:
        return estimate(shape, own, rows=together(stage), seq_len=longest_row(stage)), None
    return estimate(shape, own, rows=rows, seq_len=longest_row(stage)), rows
