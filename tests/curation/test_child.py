"""The supervised child: real processes, real limits, real signals."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from curation.child import REASONS, Child, ChildError, Died

MIB = 1 << 20

WORK = '''
import os, re, signal, sys, time
from pathlib import Path

STATE = Path(__file__).parent

def once(name):
    """True the first time, in whatever process."""
    try:
        (STATE / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

def work(item):
    verb, _, rest = item.partition(":")
    if verb == "crash": os.kill(os.getpid(), signal.SIGSEGV)
    if verb == "exit": os._exit(int(rest))
    if verb == "spin":
        while True: pass
    if verb == "sleep": time.sleep(60)
    if verb == "lock": return str(re.match("(a+)+$", "a" * 60 + "b"))  # for years, holding the interpreter's lock
    if verb == "hog": return len(bytearray(int(rest)))
    if verb == "recurse": return work(item)
    if verb == "bug": raise ValueError(f"no such page: {item!r}")
    if verb == "big": return "x" * int(rest)
    if verb == "crash_once" and once(item): os._exit(3)
    if verb == "hog_once" and once(item): return len(bytearray(1 << 40))
    if verb == "noise":
        print("noise on stdout" * 1000); print("last words", file=sys.stderr)
        os.write(1, b"\\x00\\x00\\x00raw bytes\\n")
    if verb == "noisy_crash":
        os.write(2, b"first\\nthe library's last words\\n"); os.abort()
    if verb == "hash": return str(hash("a text"))
    if verb == "pid": return str(os.getpid())
    if verb == "safe": return f"{sys.flags.safe_path} {sys.path[0]}"
    return item.upper()

def build(): return work
def slow_build():
    time.sleep(0.2)
    return work
def broken_build(): raise LookupError("no model 'glotlid'")
def deadly_build(): os._exit(7)
def lambda_result(): return lambda item: (lambda: item)
'''


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A module that only the import path leads to, as a user's own stages."""
    (tmp_path / "gristmill_child_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    import gristmill_child_work  # type: ignore[import-not-found]

    yield gristmill_child_work
    del sys.modules["gristmill_child_work"]


def child(build: object, **changes: float) -> Child[str, str]:
    limits: dict[str, float] = {"memory_bytes": 64 * MIB, "cpu_seconds": 0.5, "wall_seconds": 30, **changes}
    return Child(build, **limits)  # type: ignore[arg-type]


def test_items_come_back_in_order_with_their_results(work) -> None:
    items = [f"page {i}" for i in range(500)]
    with child(work.build) as c:
        assert list(c.map(items)) == [(item, item.upper()) for item in items]
        assert list(c.map([])) == []
        assert list(c.map(["again"])) == [("again", "AGAIN")]
    assert c.retries == {}
    assert c.pid is None


DEATHS = {
    "signal": ("crash", Died("crashed_worker", signal.SIGSEGV, 0.0, "signal SIGSEGV")),
    "exit": ("exit:5", Died("crashed_worker", 5.0, 0.0, "exit status 5")),
    "words": ("noisy_crash", Died("crashed_worker", signal.SIGABRT, 0.0, "signal SIGABRT: the library's last words")),
    "recursion": (
        "recurse",
        Died("crashed_worker", 0.0, 0.0, "RecursionError: maximum recursion depth exceeded"),
    ),
    "memory": (f"hog:{80 * MIB}", Died("out_of_memory", 64 * MIB, 64 * MIB)),
    "cpu": ("spin", Died("timed_out", 0.5, 0.5)),
}


@pytest.mark.parametrize("case", DEATHS)
def test_an_item_that_ends_its_child_twice_is_given_up_and_the_next_goes_on(work, case: str) -> None:
    item, expected = DEATHS[case]
    with child(work.build) as c:
        (_, before), (_, died), (_, after) = c.map(["before", item, "after"])
        assert (before, after) == ("BEFORE", "AFTER")
        assert isinstance(died, Died)
        assert (died.reason, died.value, died.threshold) == (expected.reason, expected.value, expected.threshold)
        assert died.detail.startswith(expected.detail)
        assert c.retries == {f"given_up_after_{expected.reason}": 1}


def test_every_reason_is_tested() -> None:
    assert {died.reason for _, died in DEATHS.values()} == set(REASONS)


def test_a_child_that_only_waits_meets_the_wall_clock(work) -> None:
    with child(work.build, cpu_seconds=10, wall_seconds=0.3) as c:
        ((_, died),) = c.map(["sleep"])
    assert isinstance(died, Died)
    assert (died.reason, died.value, died.threshold) == ("timed_out", 0.3, 0.3)


def test_sleeping_uses_no_cpu_budget(work) -> None:
    with child(work.slow_build, cpu_seconds=0.1) as c:
        assert list(c.map(["a"])) == [("a", "A")]


@pytest.mark.parametrize("item", ["crash_once:1", "hog_once:1"])
def test_a_second_attempt_that_succeeds_is_counted(work, item: str) -> None:
    reason = "crashed_worker" if item.startswith("crash") else "out_of_memory"
    with child(work.build) as c:
        assert list(c.map(["a", item, "b"])) == [("a", "A"), (item, item.upper()), ("b", "B")]
        assert c.retries == {f"recovered_after_{reason}": 1}


@pytest.mark.parametrize(("size", "fits"), [(48 * MIB, True), (65 * MIB, False)])
def test_memory_counts_from_what_the_child_had(work, size: int, fits: bool) -> None:
    with child(work.build) as c:
        ((_, result),) = c.map([f"hog:{size}"])
    assert result == size if fits else isinstance(result, Died) and result.reason == "out_of_memory"


def test_an_item_larger_than_the_memory_is_out_of_memory(work) -> None:
    with child(work.build, memory_bytes=8 * MIB) as c:
        results = [result for _, result in c.map(["a", "x" * (32 * MIB), "b"])]
    assert (results[0], results[2]) == ("A", "B")
    assert isinstance(results[1], Died)
    assert results[1].reason == "out_of_memory"


def test_large_items_and_results_pass(work) -> None:
    item = "y" * (5 * MIB)
    with child(work.build) as c:
        assert [len(r) for _, r in c.map([item, f"big:{6 * MIB}", item]) if isinstance(r, str)] == [
            5 * MIB,
            6 * MIB,
            5 * MIB,
        ]


def test_what_libraries_print_disturbs_nothing(work, capfd: pytest.CaptureFixture[str]) -> None:
    with child(work.build) as c:
        assert [r for _, r in c.map(["noise"] * 50)] == ["NOISE"] * 50
    assert capfd.readouterr() == ("", "")


def test_a_bug_fails_the_run_in_a_line_with_place_and_item(work) -> None:
    with child(work.build) as c:
        words = r"^ValueError: no such page: 'bug:7' \(/\S+/gristmill_child_work.py:\d+\), on 'bug:7'$"
        with pytest.raises(ChildError, match=words) as caught:
            list(c.map(["a", "bug:7"]))
        assert caught.value.details.startswith("Traceback")
        assert caught.value.details.endswith("ValueError: no such page: 'bug:7'\n")
        assert list(c.map(["goes on"])) == [("goes on", "GOES ON")]


def test_an_unpicklable_result_is_a_bug(work) -> None:
    with child(work.lambda_result) as c, pytest.raises(ChildError, match="pickle"):
        list(c.map(["a"]))


@pytest.mark.parametrize(
    ("build", "words"),
    [("broken_build", "LookupError: no model 'glotlid'"), ("deadly_build", "3 times .* exit status 7")],
)
def test_a_child_that_can_not_be_built_is_an_error(work, build: str, words: str) -> None:
    with child(getattr(work, build)) as c, pytest.raises(ChildError, match=words):
        list(c.map(["a"]))


def test_the_next_item_is_read_while_the_child_works(work) -> None:
    seen: list[str] = []

    def items() -> Iterator[str]:
        for item in ("a", "b", "c"):
            seen.append(item)
            yield item

    with child(work.build) as c:
        results = c.map(items())
        assert next(results) == ("a", "A")
        assert seen == ["a", "b"]
        results.close()  # type: ignore[attr-defined]
        assert list(c.map(["d"])) == [("d", "D")]


def test_the_hash_seed_is_fixed_and_the_import_path_inherited(work, tmp_path: Path) -> None:
    with child(work.build) as c:
        (_, first), (_, path) = c.map(["hash", "safe"])
        assert path == f"True {tmp_path}"
    with child(work.build) as c:
        assert [r for _, r in c.map(["hash"])] == [first]


def test_ctrl_c_does_not_reach_the_child(work) -> None:
    with child(work.build) as c:
        ((_, pid),) = c.map(["pid"])
        os.kill(int(str(pid)), signal.SIGINT)
        assert list(c.map(["pid"])) == [("pid", pid)]


PARENT = """
import os, sys, time
sys.path[:0] = sys.argv[1:3]
from curation.child import Child
import gristmill_child_work
with Child(gristmill_child_work.build, memory_bytes=1 << 26, cpu_seconds=600, wall_seconds=600) as c:
    for _, pid in c.map(["pid", sys.argv[3]]):
        print(pid, flush=True)
"""


@pytest.mark.parametrize("busy_with", ["spin", "sleep", "lock"])
def test_the_child_ends_with_its_parent(work, tmp_path: Path, busy_with: str) -> None:
    """kill -9 on the parent in the midst of an item: nobody is left."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", textwrap.dedent(PARENT), str(root), str(tmp_path), busy_with]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = psutil.Process(int(parent.stdout.readline()))
        assert process.ppid() == parent.pid
        time.sleep(0.2)
        assert process.is_running()
        parent.send_signal(signal.SIGKILL)
        process.wait(timeout=2)
        assert not process.is_running()
