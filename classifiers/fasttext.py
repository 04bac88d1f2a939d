"""fastText models: loading, prediction, and the one form in which texts reach them."""

import functools
from pathlib import Path

from fasttext.FastText import _FastText

PREFIX = "__label__"
LIBRARY = "fasttext-numpy2-wheel"
"""The distribution: it holds the module `fasttext`, mended for NumPy 2."""

_END = "</s>"


class ModelError(ValueError):
    """A file that is no model, or one that lacks a label."""


class FastText:
    """A loaded supervised model.

    Args:
      path: a `.bin` or `.ftz` file.

    Raises:
      ModelError: it is no such file, or the model is not supervised.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._model = _FastText(str(path))
        except (ValueError, MemoryError) as error:  # a damaged head asks for absurd sizes
            raise ModelError(f"{str(path)!r} is no fastText model ({error}); fetch or train it again") from error
        self.labels = tuple(label.removeprefix(PREFIX) for label in self._model.get_labels())
        if not str(self._model.get_labels()[:1]).count(PREFIX):
            raise ModelError(f"{str(path)!r} holds word vectors, not a classifier: its words bear no {PREFIX!r}")

    def predict(self, line: str, k: int = 1) -> list[tuple[str, float]]:
        """The k most probable labels, best first, without prefix; -1 for all.

        Args:
          line: one line of text: see `one_line`.
          k: how many.
        """
        labels, scores = self._model.predict(_encodable(line), k=k)
        return [(label.removeprefix(PREFIX), float(score)) for label, score in zip(labels, scores, strict=True)]

    def require(self, label: str) -> None:
        """Checks that the model knows a label.

        Raises:
          ModelError: it does not.
        """
        if label not in self.labels:
            some = ", ".join(self.labels[:20])
            raise ModelError(f"the model {str(self.path)!r} has no label {label!r}; it has {some}")


def load(path: Path) -> FastText:
    """The model of a file, loaded once a process as long as the file stays as it is.

    Raises:
      ModelError: see `FastText`.
      OSError: there is no such file.
    """
    found = path.stat()
    return _loaded(path, (found.st_mtime_ns, found.st_size))


@functools.lru_cache(maxsize=8)
def _loaded(path: Path, _state: tuple[int, int]) -> FastText:
    return FastText(path)


def one_line(text: str) -> str:
    """A text as quality models see it, in training and after: lines joined by spaces (as DCLM's), markup of fastText's
    own defused, which would end a text early or count as its label."""
    line = " ".join(text.strip().splitlines())
    if PREFIX in line:
        line = line.replace(PREFIX, "__label_")
    return line.replace(_END, "< /s>") if _END in line else line


def _encodable(line: str) -> str:
    """Lone surrogates, which a JSON escape can bring in, replaced."""
    return line if line.isascii() else line.encode("utf-8", "replace").decode("utf-8")
