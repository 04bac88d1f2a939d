"""Gives a finished file another name, in its store or in another one."""

import os
import shutil
from pathlib import Path

from storage import paths, stores
from storage.commit import opened
from storage.reads import BACKOFF, open_read
from storage.stores import is_local


def place(source: str, target: str) -> None:
    """Makes `target` hold what the immutable file `source` holds: by a link where that can be, else by a copy.

    Readers of `target` see its old content or the new, whole.

    Raises:
        StorageError: no room, or a store refuses.
    """
    with stores.told("write", target):
        if is_local(target):
            _place_here(source, stores.local(target))
            return
        fs, inner = stores.remote(target)
        if is_local(source):
            paths.info(source)
            BACKOFF.call("writing", target, lambda: fs.put_file(str(stores.local(source)), inner))
            return
        other, source_inner = stores.remote(source)
        if other is fs:  # one client, so one store
            with stores.told("copy", source):
                BACKOFF.call("copying", source, lambda: fs.cp_file(source_inner, inner))
            return
        with open_read(source) as file, opened(target) as (held, _):
            shutil.copyfileobj(file, held, 1 << 20)
            held.flush()
            BACKOFF.call("writing", target, lambda: fs.put_file(held.name, inner))


def _place_here(source: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.parent / f"{stores.TEMPORARY}{target.name}-{os.getpid()}"
    fresh.unlink(missing_ok=True)
    try:
        if not (is_local(source) and _linked(stores.local(source), fresh)):
            with open_read(source) as file, fresh.open("wb") as sink:
                shutil.copyfileobj(file, sink, 1 << 20)
                sink.flush()
                os.fsync(sink.fileno())
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _linked(source: Path, target: Path) -> bool:
    """Whether a hard link could be made: not across file systems, nor where there are none."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True
