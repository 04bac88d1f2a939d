"""The lock: one owner alive, the dead and the silent give way, and its error says who, since when, what to do."""

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from storage import lock, paths
from storage.commit import replace_atomic
from storage.errors import ChangedError, Locked, StorageError
from storage.lock import Lock, Owner

ROOT = Path(__file__).parents[2]
_count = itertools.count()


@pytest.fixture(params=["local", "memory", "s3"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A lock file that does not exist yet."""
    if request.param == "s3":
        yield f"{request.getfixturevalue('s3').url}/out/.lock"
    elif request.param == "memory":
        yield f"memory://l{next(_count)}/.lock"
    else:
        yield str(tmp_path / "out" / ".lock")


def read(path: str) -> bytes:
    """The file's bytes, read again where it was renewed meanwhile."""
    while True:
        try:
            with paths.open_read(path) as file:
                return file.read()
        except ChangedError:
            continue


def owner(**changes: object) -> Owner:
    """This process, alive."""
    return dataclasses.replace(lock._owner(100.0), **changes)  # type: ignore[arg-type]


def dead() -> dict[str, object]:
    """The id of a process that has ended, on this machine."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(process.pid).create_time()
    process.wait()
    return {"pid": process.pid, "started": started}


def test_it_is_there_while_held(path: str) -> None:
    with Lock(path) as held:
        named = Owner.decode(read(path))
        assert named is not None
        assert (named.pid, named.lease_s) == (os.getpid(), lock.LEASE_S)
        assert held.lost is False
    assert not paths.exists(path)
    with Lock(path):
        assert paths.exists(path)


def test_a_live_owner_keeps_it(path: str) -> None:
    with Lock(path):
        before = read(path)
        with (
            pytest.raises(Locked, match=rf"held by process {os.getpid()} on '.*' since 20\d\d-.*kill {os.getpid()}"),
            Lock(path),
        ):
            pass
        assert read(path) == before


def test_it_is_given_back_after_an_error(path: str) -> None:
    with pytest.raises(RuntimeError, match="of the work"), Lock(path):
        raise RuntimeError("of the work")
    assert not paths.exists(path)


def test_a_dead_owner_gives_way_at_once(path: str) -> None:
    replace_atomic(path, owner(**dead()).encode())
    with Lock(path) as held:
        assert held.lost is False
        assert json.loads(read(path))["pid"] == os.getpid()
    assert not paths.exists(path)


def test_a_process_id_used_again_is_another_process(path: str) -> None:
    replace_atomic(path, owner(started=owner().started - 100).encode())
    with Lock(path):
        assert json.loads(read(path))["started"] == owner().started


def test_a_zombie_is_dead(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    path = str(tmp_path / ".lock")
    replace_atomic(path, owner(pid=process.pid, started=psutil.Process(process.pid).create_time()).encode())
    with pytest.raises(Locked), Lock(path):
        pass
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    with Lock(path):
        process.wait()


SILENT = {"within_the_lease": (90.0, False), "past_the_lease": (100.5, True)}


@pytest.mark.parametrize("case", SILENT)
def test_an_owner_out_of_sight_has_its_lease(path: str, case: str) -> None:
    silent_s, free = SILENT[case]
    away = owner(machine="elsewhere", host="mill-2", pid=4242, renewed=time.time() - silent_s)
    replace_atomic(path, away.encode())
    if free:
        with Lock(path):
            assert json.loads(read(path))["pid"] == os.getpid()
    else:
        with pytest.raises(Locked, match=r"process 4242 on 'mill-2' since .* runs out in (9|10) s"), Lock(path):
            pass


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"something else"])
def test_another_file_is_not_taken(path: str, content: bytes) -> None:
    replace_atomic(path, content)
    with pytest.raises(StorageError, match="is no lock file"), Lock(path):
        pass
    assert read(path) == content


@pytest.mark.parametrize("lease_s", [0, -1.0])
def test_a_lease_lasts(lease_s: float) -> None:
    with pytest.raises(ValueError, match="never holds"):
        Lock("/tmp/x", lease_s)


def test_the_lease_is_renewed(path: str) -> None:
    with Lock(path, lease_seconds=0.4) as held:
        first = json.loads(read(path))
        deadline = time.monotonic() + 10
        while (now := json.loads(read(path)))["renewed"] == first["renewed"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert now == {**first, "renewed": now["renewed"]}
        assert held.lost is False
    assert not paths.exists(path)


def test_who_lost_it_knows_and_leaves_it_alone(path: str) -> None:
    with Lock(path, lease_seconds=0.2) as held:
        taken = owner(token="another").encode()
        deadline = time.monotonic() + 10
        while not held.lost:
            replace_atomic(path, taken)  # more than once: a renewal may be on its way
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert read(path) == taken


def test_of_many_takers_one_takes_it_over(tmp_path: Path) -> None:
    gone = dead()
    for race in range(10):
        path = str(tmp_path / f".lock-{race}")
        replace_atomic(path, owner(**gone).encode())
        ready, done = threading.Barrier(4), threading.Barrier(4)
        taken: list[str] = []

        def take(
            path: str = path,
            ready: threading.Barrier = ready,
            done: threading.Barrier = done,
            taken: list[str] = taken,
        ) -> None:
            ready.wait()
            try:
                with Lock(path):
                    taken.append(path)
                    done.wait()
            except Locked:
                done.wait()

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert taken == [path]


def test_a_killed_run_is_followed_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / ".lock")
    script = (
        f"import time; from storage.lock import Lock\nwith Lock({path!r}):\n print('held', flush=True); time.sleep(60)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, env={**environment, "PYTHONPATH": str(ROOT)}
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(Locked, match=f"process {process.pid} "), Lock(path):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    with Lock(path):
        assert json.loads(read(path))["pid"] == os.getpid()
