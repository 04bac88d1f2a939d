"""Prism and a Flink job server as processes on loopback ports, from the folder that setup.sh filled."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BEAM = "2.77.0"
CACHE = Path(os.environ.get("GRISTMILL_ENGINES", Path.home() / ".cache" / "gristmill" / "engines"))

JAVA = ("java", "-Xmx2g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""For a server that lives a minute: its compiler would take a third of the run's CPU time."""
OPENED = (
    *(f"java.{p}" for p in ("lang", "lang.invoke", "util", "util.concurrent", "nio", "io", "net", "text", "time")),
    "sun.nio.ch",
)


def free_port() -> int:
    """A port that nobody listens on now."""
    with contextlib.closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path, seconds: float = 90) -> None:
    """Until somebody listens, or the process has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.closing(socket.socket()) as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"no server on {port}: {log.read_text(errors='replace')[-3000:]}")


@contextmanager
def served(command: list[str], port: int, log: Path) -> Iterator[None]:
    """A server for as long as the context lasts."""
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink)
        try:
            wait_for(port, process, log)
            yield
        finally:
            process.kill()
            process.wait()


@contextmanager
def prism(folder: Path) -> Iterator[list[str]]:
    """Prism; gives Beam's arguments for it."""
    binary = CACHE / f"prism-{BEAM}"
    if not binary.exists():
        pytest.skip(f"no {binary}: tests/engines/setup.sh builds it where there is Go")
    port = free_port()
    # it spins while a bundle is under way, one core and more: only on what the workers leave
    command = ["nice", "-n10", str(binary), f"--job_port={port}", "--serve_http=false"]
    with served(command, port, folder / "prism.log"):
        yield ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}", "--environment_type=LOOPBACK"]


@contextmanager
def flink(folder: Path) -> Iterator[list[str]]:
    """A Flink job server with a local cluster in it; gives Beam's arguments for it."""
    jars = CACHE / "flink" / "lib"
    if not (CACHE / "flink" / ".done").exists() or not shutil.which("java"):
        pytest.skip(f"no Flink in {jars}: tests/engines/setup.sh brings it where there are Java and Maven")
    job, artifact, expansion = free_port(), free_port(), free_port()
    opens = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
    command = [*JAVA, *opens, "-cp", f"{jars}/*", "org.apache.beam.runners.flink.FlinkJobServerDriver"]
    command += ["--flink-master=[local]", f"--artifacts-dir={folder / 'artifacts'}"]
    command += [f"--job-port={job}", f"--artifact-port={artifact}", f"--expansion-port={expansion}"]
    with served(command, job, folder / "flink.log"):
        yield [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{job}",
            f"--artifact_endpoint=localhost:{artifact}",
            "--environment_type=LOOPBACK",
            "--parallelism=2",
        ]
