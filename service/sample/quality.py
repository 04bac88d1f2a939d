"""Labelled examples for the demo's quality classifier: prose on one side, spam and chrome on the other."""

import json
import random
from pathlib import Path

from service.sample import hosts
from service.sample.crawl import RESERVED
from service.sample.junk import GOODS, TOWNS
from service.sample.prose import LANGUAGES, Prose, fill, library_paragraphs

_PITCH = (
    "{Buy|Order|Get} your {cheap|discount|top quality} {thing} {now|today|online} and save {20|35|50|70} %!",
    "Best {thing} {deals|prices|offers} in {town}, free shipping, money back, no questions asked.",
    "Click {here|below} to see why {thousands|millions} of customers in {town} love this {thing}!!!",
    "{thing} {review|sale|coupon} {thing} {cheap|online|best} {thing} {shop|store|outlet} {town}",
    "Limited offer: the {number one|most wanted} {thing} ships to {town} within 24 hours.",
)


def write_quality_sets(folder: Path, *, count: int = 400, seed: int = 0) -> tuple[Path, Path]:
    """Writes `quality_positive.jsonl` and `quality_negative.jsonl`, `{"text", "language"}` a line.

    English positives use paragraphs that no page of the sample holds; documents in other languages and negatives are
    composed anew. So the sets share no document with the crawl of any seed.

    Args:
        folder: where to write; made if it is not there.
        count: examples a side.
        seed: of everything that is drawn.

    Returns:
        The two paths, positives first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reserved = tuple(p for n, p in enumerate(library_paragraphs()) if n % RESERVED == 0)
    prose = Prose(seed + 1_000_003, reserved)
    rng = random.Random(f"quality {seed}")
    languages = ("en", "en", "en", *(code for code in LANGUAGES if code != "en"))
    positives, negatives = [], []
    for number in range(count):
        language = languages[number % len(languages)]
        paragraphs = prose.column(language).paragraphs
        if language == "en":
            paragraphs = tuple(prose.paragraph().text for _ in range(3))
        positives.append({"text": "\n".join(paragraphs), "language": LANGUAGES[language]})
        negative = _chrome(language, prose, rng) if number % 2 else _spam(rng)
        negatives.append({"text": negative, "language": LANGUAGES[language if number % 2 else "en"]})
    paths = (folder / "quality_positive.jsonl", folder / "quality_negative.jsonl")
    for path, rows in zip(paths, (positives, negatives), strict=True):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_text(text, encoding="utf-8", newline="\n")
    return paths


def _spam(rng: random.Random) -> str:
    thing, town = rng.choice(GOODS), rng.choice(TOWNS)
    lines = [rng.choice(_PITCH).replace("{thing}", thing).replace("{town}", town) for _ in range(rng.randint(6, 14))]
    return "\n".join(fill(line, rng) for line in lines)


def _chrome(language: str, prose: Prose, rng: random.Random) -> str:
    """Menus, banners and teasers, as a careless extraction would leave them."""
    words = hosts.CHROME[language]
    teasers = [prose.sentence(language)[: rng.randint(20, 60)] + "…" for _ in range(rng.randint(4, 9))]
    lines = [*words.nav, words.cookies, words.accept, words.share, words.subscribe]
    rng.shuffle(lines)
    teased = [line for teaser in teasers for line in (teaser, words.more)]
    return "\n".join((*lines, *teased, words.older, f"© 2026 {words.rights}"))
