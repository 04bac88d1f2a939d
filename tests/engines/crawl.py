"""The built-in crawl, and runs of the command over it as separate processes."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKED = ("shards", "ledger", "clusters", "signals", "dropped")
PAGES = 2_000


@dataclass(frozen=True)
class Crawl:
    """A folder of WARCs, and what is run over it."""

    folder: Path
    pipeline: str
    settings: tuple[str, ...] = ()

    def command(self, output: Path, *more: str) -> list[str]:
        """The command line of a run; what stands in `more` behind `--` goes to Beam."""
        command = [sys.executable, "-m", "service", "run", self.pipeline, "--output", str(output)]
        command += ["--input", f"{self.folder}/crawl-data/**/*.warc.gz"]
        return [*command, *(word for setting in self.settings for word in ("--set", setting)), *more]

    def run(self, output: Path, *more: str, timeout: float = 500) -> str:
        """Runs to the end and returns what was printed; fails with it where the run fails."""
        done = subprocess.run(
            self.command(output, *more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def start(self, output: Path, *more: str) -> "subprocess.Popen[bytes]":
        """Starts a run in a process group of its own; what it prints goes to `log_of(output)`."""
        with log_of(output).open("ab") as log:
            return subprocess.Popen(self.command(output, *more), stdout=log, stderr=log, start_new_session=True)


def log_of(output: Path) -> Path:
    """What started runs printed."""
    return output.parent / f"{output.name}.log"


def fingerprint(output: Path) -> dict[str, str]:
    """sha256 of every published file, by name."""
    files = sorted(path for folder in CHECKED for path in (output / folder).glob("*"))
    assert files, f"nothing was published in {output}"
    return {str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def markers(output: Path) -> list[Path]:
    """The markers that a run has left so far, in no order."""
    return list((output / "work").glob("*/**/*.json"))
