"""What the processes of a test session share: whoever needs it first makes it, and the others wait for it."""

import fcntl
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def once(folder: Path, make: Callable[[Path], T]) -> T:
    """What one process of the session made in a folder, and the value it got for it.

    Args:
      folder: where it is to be; files beside it, of its name and a suffix, are ours.
      make: fills the empty folder. Where it raises, or its process is killed, the next who asks makes it anew.
    """
    value = folder.with_name(f"{folder.name}.pickle")
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not value.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            part = folder.with_name(f"{folder.name}.part")
            part.write_bytes(pickle.dumps(make(folder)))
            part.rename(value)
    made: T = pickle.loads(value.read_bytes())
    return made
