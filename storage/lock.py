"""A lock on a folder, as a file with a lease: it spares work that two runs would do twice.

Correctness never depends on it: what counts is decided by exclusive markers. It is taken over at once where its owner
is dead on this machine, and after its lease ran out where the owner is out of sight. Leases compare clocks of two
machines: they should agree to within a few seconds.
"""

import dataclasses
import datetime
import json
import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from storage import paths
from storage.commit import create_exclusive, swap
from storage.errors import Locked, MissingError, StorageError

LEASE_S = 120.0
_BEATS = 4  # renewals a lease
_TRIES = 5  # rounds of create, read, take over, before the lock counts as contended


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who holds a lock."""

    token: str
    """Random: tells two locks of one process apart."""
    host: str
    machine: str
    """Boot and process namespace: only where it is ours, a process id can be looked up here."""
    pid: int
    started: float
    """When the process began, in seconds since the epoch: ids are used again."""
    since: float
    renewed: float
    lease_s: float

    def encode(self) -> bytes:
        """The lock file's content."""
        return json.dumps(dataclasses.asdict(self), indent=1).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Owner | None":
        """The owner that a lock file names, None where it is no lock file of ours."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError):
            return None

    def alive(self, now: float) -> bool:
        """Whether it still holds: by its process where that is to be seen from here, else by its lease."""
        if self.machine == _machine():
            return _runs(self.pid, self.started)
        return now < self.renewed + self.lease_s


class Lock:
    """Holds `path` while the context lasts.

    Args:
        path: The lock file, local or on an object store.
        lease_seconds: How long it outlives an owner that is out of sight. Renewed four times as often.

    Raises:
        Locked: On entering, where somebody alive holds it.
        StorageError: On entering, where the store refuses, or the file is no lock.
    """

    def __init__(self, path: str, lease_seconds: float = LEASE_S) -> None:
        if lease_seconds <= 0:
            raise ValueError(f"a lease of {lease_seconds!r} s never holds; give more than 0")
        self._path = path
        self._lease_s = lease_seconds
        self._held: bytes | None = None
        self._stop = threading.Event()
        self._beat: threading.Thread | None = None
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether somebody else took it over, as after a sleep longer than the lease."""
        return self._lost

    def __enter__(self) -> Self:
        self._held = self._acquired()
        self._lost = False
        self._stop.clear()
        self._beat = threading.Thread(target=self._renew, name=f"lock {self._path}", daemon=True)
        self._beat.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        if self._beat is not None:
            self._beat.join()
        held, self._held = self._held, None
        if held is not None and not self._lost and _content(self._path) == held:
            paths.remove(self._path)

    def _acquired(self) -> bytes:
        for _ in range(_TRIES):
            mine = _owner(self._lease_s).encode()
            if create_exclusive(self._path, mine):
                return mine
            theirs = _content(self._path)
            if theirs == mine:  # the answer to our own request was lost, and asked again
                return mine
            if theirs is None:
                continue
            owner = Owner.decode(theirs)
            if owner is None:
                raise StorageError(f"{self._path!r} is no lock file; remove it, if nothing else needs it")
            if owner.alive(time.time()):
                raise _locked(self._path, owner)
            if swap(self._path, theirs, mine):
                return mine
        raise Locked(f"{self._path!r} changes hands all the time; run the same command again later")

    def _renew(self) -> None:
        while not self._stop.wait(self._lease_s / _BEATS):
            owner = Owner.decode(self._held or b"")
            if owner is None:
                return
            fresh = dataclasses.replace(owner, renewed=time.time()).encode()
            try:
                renewed = swap(self._path, self._held or b"", fresh)
            except StorageError:
                continue  # a store that is away for a while; the next beat tries again
            if not renewed:
                # an answer may have been lost after the store had written the renewal
                self._lost = _content(self._path) != fresh
                if self._lost:
                    return
            self._held = fresh


def _locked(path: str, owner: Owner) -> Locked:
    since = datetime.datetime.fromtimestamp(owner.since).astimezone().isoformat(sep=" ", timespec="seconds")
    if owner.machine == _machine():
        advice = f"wait for it, stop it (kill {owner.pid}), or give another output"
    else:
        left = max(0.0, owner.renewed + owner.lease_s - time.time())
        advice = f"wait for it; if it is dead, its lease runs out in {left:.0f} s, then run the same command again"
    return Locked(f"{path!r} is held by process {owner.pid} on {owner.host!r} since {since}; {advice}")


def _owner(lease_s: float) -> Owner:
    now = time.time()
    return Owner(
        token=secrets.token_hex(16),
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        started=psutil.Process().create_time(),
        since=now,
        renewed=now,
        lease_s=lease_s,
    )


def _machine() -> str:
    """Where process ids mean the same: this boot of this kernel, this process namespace; else the host's name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (a name, not a path)
    except OSError:
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"
    return f"{boot} {space}"


def _runs(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _content(path: str) -> bytes | None:
    try:
        with paths.open_read(path) as file:
            return file.read()
    except MissingError:
        return None
