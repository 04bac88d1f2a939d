"""Merging signature files where tasks are many, so that files times ranges stays a number of reads one can pay for.

A snapshot's 360,000 files read by 1,024 ranges would be 370 million ranged reads; gathered by 369 they are a million.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import BinaryIO

import numpy as np

from dedup.exchange import FENCES, encode, read_slice
from storage.commit import Committed, write_hashed

MAX_READS = 1_000_000


def groups(files: int, n_ranges: int, *, max_reads: int = MAX_READS) -> list[range]:
    """Which neighbouring files to gather.

    Args:
      files: how many there are.
      n_ranges: by how many ranges they will be read.
      max_reads: what files times ranges may come to.

    Returns:
      The numbers of each group's files, as equal in count as can be; a group of one needs no gathering.

    Raises:
      ValueError: even one file is read by more ranges than `max_reads`.
    """
    if n_ranges > max_reads:
        raise ValueError(f"{n_ranges!r} ranges are more than {max_reads!r} reads; choose larger ranges")
    count = min(files, max_reads // max(n_ranges, 1))
    cuts = [files * i // count for i in range(count + 1)] if count else [0]
    return [range(a, b) for a, b in pairwise(cuts)]


def gather(files: Sequence[str], bases: Sequence[int], folder: str) -> Committed:
    """Merges signature files into one of the same layout, whose rows are document numbers: its own base is 0.

    Each file is verified in full. The merged file is named by its content, so the same files have the same name.

    Memory: 72 bytes a pair, the merged file included: 470 MB for one of 100 MB.

    Args:
      files: signature files, local or URLs.
      bases: what to add to each file's rows: the number of its task's first document.
      folder: where the merged file goes.

    Raises:
      CorruptFileError: a file is not what was written.
      ValueError: another number of bases than of files.
    """
    merged = _merged(files, bases)
    return write_hashed(folder, "gathered", ".bin", lambda file: _write(merged, file))


def _merged(files: Sequence[str], bases: Sequence[int]) -> bytearray:
    keys, numbers = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for file, base in zip(files, bases, strict=True):
        some, rows = read_slice(file, 0, FENCES)
        keys.append(some)
        numbers.append(rows + base)
    return encode(np.concatenate(keys), np.concatenate(numbers))


def _write(data: bytearray, file: BinaryIO) -> None:
    file.write(data)
