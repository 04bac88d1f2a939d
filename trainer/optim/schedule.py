"""The learning rate as a function of the stage's targets so far."""

import math

from schemas.training import LrSpec


def learning_rate(spec: LrSpec, at: float, total: int) -> float:
    """The rate at a place of a stage.

    A step covers an interval of targets. The loop asks for its middle: so no step of a rise from 0 is spent at rate 0,
    nor one of a fall to 0 but for what a stage draws beyond its targets to end with whole documents and rows; and where
    the schedule is straight a step gets the schedule's mean over its own targets, however large a batch ramp made it.

    Args:
      spec: The stage's schedule.
      at: Targets of the stage, 0 to `total`; beyond it, the last rate holds.
      total: Targets of the whole stage.
    """
    if at < spec.warmup:
        return spec.start * at / spec.warmup
    end = spec.start if spec.end is None else spec.end
    straight = max(total - spec.warmup, 0)
    if spec.shape == "wsd":
        straight = min(round(spec.decay * total), straight)
    begin = total - straight
    part = min(max((at - begin) / straight, 0.0), 1.0) if straight else float(at >= begin)
    match spec.shape:
        case "constant":
            return spec.start
        case "linear" | "wsd":
            return spec.start + (end - spec.start) * part
        case "cosine":
            return end + (spec.start - end) * (1 + math.cos(math.pi * part)) / 2
