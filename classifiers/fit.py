"""One fastText training, in a process of its own whose fresh memory is zero.

fastText 0.9 with one thread fills only the first tenth of its input matrix (`DenseMatrix::uniform` calls one of ten
blocks) and leaves the rest as the allocator gave it. Where that is memory used before, a training meets `Encountered
NaN`, or worse, learns from garbage; so a second training inside a process often fails, and a small one in a fresh one
does, too. glibc clears what it hands out when told to (MALLOC_PERTURB_ fills with the complement of its value), which
also makes the model's bytes depend on nothing but texts and options.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import fasttext

from classifiers.fasttext import PREFIX

NAN_STATUS = 3
"""How the process ends when the weights ran off."""

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from classifiers.fit import main; main(sys.argv[2])"


class FitError(RuntimeError):
    """A training that failed."""


class NanError(FitError):
    """A training whose weights ran off; a lower learning rate may help."""


def fit(lines: Path, model: Path, options: dict[str, float]) -> None:
    """Trains on labelled lines and writes the model. One thread, so that the same lines give the same bytes.

    Args:
      lines: `__label__x text`, one a line.
      model: where to write.
      options: of `fasttext.train_supervised`.

    Raises:
      NanError: the weights ran off.
      FitError: the process failed otherwise; holds its last words.
    """
    path = json.dumps([str(Path(entry).absolute()) for entry in sys.path])
    job = json.dumps({"lines": str(lines), "model": str(model), "options": options})
    done = subprocess.run(
        [sys.executable, "-P", "-c", _BOOT, path, job],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_PERTURB_": "255"},
        check=False,
    )
    if done.returncode == NAN_STATUS:
        raise NanError(f"training with {options!r} met NaN")
    if done.returncode:
        words = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise FitError(f"training on {str(lines)!r} with {options!r} failed: {words[0]}")


def main(job: str) -> None:
    """Inside the process."""
    asked = json.loads(job)
    try:
        model = fasttext.train_supervised(
            input=asked["lines"], label=PREFIX, loss="softmax", thread=1, verbose=0, **asked["options"]
        )
    except RuntimeError as error:
        if "NaN" not in str(error):
            raise
        sys.exit(NAN_STATUS)
    model.save_model(asked["model"])
