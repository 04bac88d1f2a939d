"""What the page says: the manifest and the tally as rows ready to be written, in one language's words and numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from curation.by_language import EACH
from curation.false_loss import upper_bound
from curation.report import numbers
from curation.report.inert import link, one_line, visible
from curation.report.languages import language_name, language_tag
from curation.report.plots import Flow, funnel
from curation.report.words import Words
from curation.sketches import HeavyHitters
from curation.tally import EXCERPT, Example, Tally
from schemas.manifest import GateSample, Manifest

DEDUP_STAGES = frozenset({"url_dedup", "digest_dedup", "minhash"})
"""Stages whose losses are called duplicates in the headline."""

EXACT_BELOW = 1_000_000
"""Headline numbers from here on are rounded."""

TOP_ROWS = 20
FEW_LANGUAGES = 3
FILE_ROWS = 50


class Tile(NamedTuple):
    """A headline number: what it is, the short form, a word more about it, the exact form."""

    label: str
    value: str
    note: str = ""
    exact: str = ""


class Step(NamedTuple):
    """A row of the funnel."""

    name: str
    about: str
    entering: int
    dropped: int
    left: int


class Card(NamedTuple):
    """A page shown: everything in it is neutralised, except for escaping."""

    address: str
    href: str
    language: str
    tag: str
    note: str
    text: str


class Reason(NamedTuple):
    """A reason's losses; `bar` in percent of the most frequent reason's."""

    name: str
    words: str
    pages: int
    share: str
    bar: float
    cards: tuple[Card, ...]
    is_open: bool


class Losses(NamedTuple):
    """A stage's losses."""

    stage: str
    about: str
    pages: int
    share: str
    reasons: tuple[Reason, ...]


class Rank(NamedTuple):
    """A row of a ranking: bars in percent of the longest."""

    label: str
    name: str
    kept: int
    seen: int
    kept_bar: float
    seen_bar: float


class Ranking(NamedTuple):
    """The first rows of a ranking, and what the others come to."""

    rows: tuple[Rank, ...]
    others: int
    others_pages: int
    error: int


class GateRow(NamedTuple):
    """A gate and what its sample says; `loss` in words."""

    name: str
    threshold: str
    dropped: int
    sample: GateSample
    loss: str


@dataclass(frozen=True, kw_only=True)
class View:
    """Makes the rows. Methods are the template's vocabulary; each costs what it shows, none what was run."""

    manifest: Manifest
    tally: Tally
    words: Words

    @property
    def pages(self) -> int:
        """Pages in."""
        return self.manifest.counts.pages

    def reasons(self) -> dict[str, dict[str, int]]:
        """stage -> reason -> pages in pipeline order: the manifest's counts, and any that only the tally has."""
        counts = self.manifest.counts.dropped_by
        enabled = [stage.name for stage in self.manifest.stages if stage.enabled]
        both = [*counts, *sorted(self.tally.dropped_by)]
        order = dict.fromkeys([*(name for name in both if name not in enabled), *enabled])
        return {name: {**self.tally.dropped_by.get(name, {}), **counts.get(name, {})} for name in order}

    def tiles(self) -> list[Tile]:
        """The headline numbers."""
        w, language, counts = self.words, self.words.language, self.manifest.counts
        shards = [file.bytes for file in self.manifest.files if file.path.startswith("shards/")]
        duplicates = sum(sum(r.values()) for stage, r in self.reasons().items() if stage in DEDUP_STAGES)

        def number(key: str, value: int, note: str) -> Tile:
            short = numbers.compact(value, language) if value >= EXACT_BELOW else numbers.count(value)
            return Tile(w(key), short, note, numbers.count(value))

        def share(part: int) -> str:
            return w("of_pages", share=numbers.percent(part, counts.pages)) if counts.pages else ""

        def per_page(value: int) -> str:
            return w("per_page", n=numbers.compact(value / counts.kept, language)) if counts.kept and value else ""

        return [
            number("pages_in", counts.pages, w("n_files", n=numbers.count(len(self.manifest.inputs)))),
            number("kept", counts.kept, share(counts.kept)),
            number("tokens", counts.tokens, per_page(counts.tokens)),
            number("characters", counts.characters, per_page(counts.characters)),
            number("duplicates", duplicates, share(duplicates)),
            Tile(w("shard_size"), numbers.size(sum(shards)), w("n_files", n=numbers.count(len(shards)))),
        ]

    def notices(self) -> list[str]:
        """What a reader must know before the rest."""
        w, counts, notes = self.words, self.manifest.counts, []
        if failed := self.unread():
            notes.append(w("failed_inputs", n=numbers.count(len(failed))))
        if (self.tally.pages, self.tally.kept) != (counts.pages, counts.kept):
            notes.append(w("disagree", tally=numbers.count(self.tally.pages), manifest=numbers.count(counts.pages)))
        retries = self.manifest.retries
        if sum(retries.values()):
            outcomes = ", ".join(f"{one_line(name)} {count:,}" for name, count in retries.items())
            notes.append(w("retried", n=numbers.count(sum(retries.values())), outcomes=outcomes))
        return notes

    def steps(self) -> tuple[Step, ...]:
        """The funnel's rows, a stage each."""
        left, rows = self.pages, []
        for name, reasons in self.reasons().items():
            dropped = sum(reasons.values())
            rows.append(Step(one_line(name), self.words.stage(name), left, dropped, left - dropped))
            left -= dropped
        return tuple(rows)

    def flow(self) -> Flow:
        """The funnel's drawing."""
        return funnel(self.pages, [step.dropped for step in self.steps()])

    def losses(self) -> list[Losses]:
        """Losses by stage and reason, the most frequent reason of each stage first."""
        groups = {stage: reasons for stage, reasons in self.reasons().items() if sum(reasons.values())}
        peak = max((count for reasons in groups.values() for count in reasons.values()), default=0)
        return [self._losses(stage, reasons, peak) for stage, reasons in groups.items()]

    def _losses(self, stage: str, reasons: Mapping[str, int], peak: int) -> Losses:
        ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        rows = tuple(
            Reason(
                one_line(name),
                one_line(self.words.reason(name)),
                count,
                numbers.percent(count, self.pages),
                100 * count / peak,
                tuple(self.card(page, stage) for page in self.tally.shown.get((stage, name), [])),
                count == peak,
            )
            for name, count in ordered
            if count
        )
        total = sum(reasons.values())
        return Losses(one_line(stage), self.words.stage(stage), total, numbers.percent(total, self.pages), rows)

    def gates(self) -> list[GateRow]:
        """Every gate that was on."""
        return [
            GateRow(one_line(g.stage), numbers.measured(g.threshold), g.dropped, g.sample, self._loss(g.sample))
            for g in self.manifest.gates
        ]

    def _loss(self, sample: GateSample) -> str:
        most = upper_bound(sample.lost, sample.kept)
        if most is None:
            return self.words("gate_unknown")
        share = numbers.percent(sample.lost, sample.kept)
        return self.words("gate_share", share=share, most=f"{numbers.measured(100 * most)}%")

    def kept_cards(self) -> list[Card]:
        """Examples of kept pages."""
        return [self.card(example) for example in self.tally.shown.get(("", ""), [])]

    def cluster_cards(self) -> list[Card]:
        """The largest duplicate clusters, by the page that stood for each."""
        sizes = [self.words("n_copies", n=numbers.measured(page.value or 0)) for page in self.tally.clusters]
        return [self.card(page)._replace(note=size) for page, size in zip(self.tally.clusters, sizes, strict=True)]

    def card(self, page: Example, stage: str = "") -> Card:
        """A page, made harmless, and what the stage that dropped it measured."""
        return Card(
            address=one_line(page.url)[:300],
            href=link(page.url),
            language=one_line(page.language),
            tag=language_tag(page.language),
            note=self._verdict(page.value, page.threshold, stage),
            text=visible(page.text).strip() + ("…" if len(page.text) >= EXCERPT else ""),
        )

    def _verdict(self, value: float | None, threshold: float | None, stage: str) -> str:
        if value is None or threshold is None or value == threshold:
            return ""
        if stage in DEDUP_STAGES:
            return self.words("alike", n=numbers.measured(value))
        key = "below" if value < threshold else "above"
        return self.words(key, value=numbers.measured(value), threshold=numbers.measured(threshold))

    def languages(self) -> Ranking:
        """Languages by pages kept."""
        return self._ranking("languages")

    def domains(self) -> Ranking:
        """Domains by pages kept."""
        return self._ranking("domains")

    def _ranking(self, what: str) -> Ranking:
        kept, seen = (_exactly(self.tally.hitters[f"{what}_{which}"]) for which in ("kept", "seen"))
        labels = sorted(kept.counts | seen.counts, key=lambda k: (-kept.counts.get(k, 0), -seen.counts.get(k, 0), k))
        pairs = {label: (kept.counts.get(label, 0), seen.counts.get(label, 0)) for label in labels}
        shown, others = labels[:TOP_ROWS], labels[TOP_ROWS:]
        peak = max((max(pairs[label]) for label in shown), default=1)
        named = {label: language_name(label, self.words.language) for label in shown if what == "languages"}
        rows = tuple(
            Rank(one_line(label), named.get(label, ""), k, max(k, s), 100 * k / peak, 100 * max(k, s) / peak)
            for label in shown
            for k, s in [pairs[label]]
        )
        return Ranking(rows, len(others), sum(max(pairs[label]) for label in others), max(kept.error, seen.error))

    def target(self) -> str:
        """The language of the recipe, or those that its language stage lets pass; empty where it is any."""
        if self.manifest.language not in ("", EACH):
            return self.manifest.language
        found = (stage for stage in self.manifest.stages if stage.enabled and stage.name == "language")
        few = next((stage.params.get("languages", ()) for stage in found), ())
        return ", ".join(few) if len(few) <= FEW_LANGUAGES else ""

    def unread(self) -> list[tuple[str, str]]:
        """(name, why) of files that could not be read whole."""
        found = []
        for entry in self.manifest.inputs:
            faults = ", ".join(f"{self.words.reason(name)}: {numbers.count(n)}" for name, n in entry.faults.items())
            if entry.error or faults:
                found.append((entry.name, entry.error or faults))
        return found

    def skipped(self) -> dict[str, int]:
        """Records that are no pages, by type, most frequent first."""
        total: dict[str, int] = {}
        for entry in self.manifest.inputs:
            for kind, count in entry.skipped.items():
                total[one_line(kind)] = total.get(one_line(kind), 0) + count
        return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _exactly(hitters: HeavyHitters) -> HeavyHitters:
    """As it is written: cut to its capacity."""
    return HeavyHitters.from_json(hitters.to_json(), hitters.capacity)
