"""From a plan to batches: read ahead by threads, exact in their order, resumable on any number of ranks."""

from trainer.loader.dataset import StepDataset
from trainer.loader.source import PlanSource

__all__ = ["PlanSource", "StepDataset"]
