"""What gates lose, measured on the seeded sample: its pages pass every gate, and what becomes of them is known."""

import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

CONFIDENCE = 0.95
_HALVINGS = 50


def count(table: pa.Table, stays: pa.Array, gates: Mapping[str, tuple[str, float]]) -> dict[str, dict[str, int]]:
    """What each gate would have done to the sampled pages of a task.

    Args:
      table: signals.
      stays: shape (rows,), bool: which pages are kept in the end.
      gates: name -> column of its measurements, least value that passes.

    Returns:
      Name -> counts, as `schemas.manifest.GateSample` has them.
    """
    sampled, kept = (np.asarray(column, np.bool_) for column in (table["sampled"], stays))
    found = {}
    for name, (column, threshold) in gates.items():
        values = table[column].to_numpy().astype(np.float64)  # NaN where the gate was not asked
        asked = sampled & ~np.isnan(values)
        failed = asked & (values < threshold)
        masks = {"asked": asked, "failed": failed, "kept": asked & kept, "lost": failed & kept}
        found[name] = {what: int(mask.sum()) for what, mask in masks.items()}
    return found


def upper_bound(lost: int, kept: int) -> float | None:
    """The greatest share that is lost, with a confidence of 95 % (Clopper & Pearson 1934, one-sided).

    Args:
      lost: pages of the sample that a gate would have lost.
      kept: pages of the sample that were kept in the end, the lost ones among them.

    Returns:
      A share; 0 of 244 tells that at most 1.2 % are lost. None where nothing was kept: then nothing is known.
    """
    if not kept:
        return None
    low, high = lost / kept, 1.0
    for _ in range(_HALVINGS if lost < kept else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(lost, kept, middle) > 1 - CONFIDENCE else (low, middle)
    return high


def _at_most(k: int, n: int, p: float) -> float:
    """Probability of k or fewer hits in n trials of probability p > k / n, where terms only shrink towards 0 hits."""
    log_ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    term = total = math.exp(log_ways + k * math.log(p) + (n - k) * math.log1p(-p))
    for hits in range(k, 0, -1):
        term *= hits / (n - hits + 1) * (1 - p) / p
        total += term
        if term < total * 1e-15:
            break
    return total
