"""`ForEach`: any document stage as a PTransform, for Beam pipelines of users."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from curation.judge import load_stages, run_stage
from curation.steps import Step
from schemas.records import Document, Verdict
from schemas.stage import Stage


class _ForEachFn(beam.DoFn):
    def __init__(self, name: str, stage: Stage, files: dict[str, str]) -> None:
        self._step, self._files = Step(name, stage), files
        self._counters = {reason: Metrics.counter(name, reason) for reason in ("kept", *stage.reasons)}

    def setup(self) -> None:
        (self._loaded,) = load_stages((self._step,), self._files)

    def process(self, doc: Document) -> Iterator[Any]:
        doc, measured = run_stage(self._loaded, doc, whole=False)
        failed = next((m for m in measured if m.failed), None)
        self._counters[failed.reason if failed else "kept"].inc()
        if failed is None:
            yield doc
        else:
            yield beam.pvalue.TaggedOutput("dropped", (Verdict(failed.reason, failed.value, failed.threshold), doc))


class ForEach(beam.PTransform):
    """Any document stage in a Beam pipeline of one's own: PCollection[Document] -> `kept`, `dropped`.

    `dropped` holds (Verdict, Document). Counters bear the stage's name, one a reason and `kept`. The stage runs in the
    engine's worker, not in a supervised child: for text that you trust.

    Example:
      documents | "gopher_quality" >> ForEach("gopher_quality", GopherQuality(min_words=20))
    """

    def __init__(self, name: str, stage: Stage, files: dict[str, str] | None = None) -> None:
        """Args: `files`: sha256 of each model or list that the stage needs; default those of the registry."""
        super().__init__()
        self._name, self._stage = name, stage
        self._files = files if files is not None else dict.fromkeys(stage.files(), "")

    def default_label(self) -> str:
        """Tells several of them in one pipeline apart."""
        return f"ForEach({self._name})"

    def expand(self, docs: Any) -> Any:
        fn = beam.ParDo(_ForEachFn(self._name, self._stage, self._files))
        return docs | self._name >> fn.with_outputs("dropped", main="kept")
