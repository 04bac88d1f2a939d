"""Where the sample's prose comes from: the standard library's own documentation, and texts shipped beside this file.

English is read from the sources of a fixed list of standard modules (documentation strings, found with `ast`, and
blocks of comments) and from the topics of `help()`, so it differs between Python versions; what is planted is computed
along and stays true. Other languages are composed from sentences of our own in `texts/`, whose slots `{a|b|c}` and
sampling give each document another wording. `Prose` refuses a document that comes too near to an earlier one, so that
the only near-duplicates in the sample are those that were planted.
"""

import ast
import dataclasses
import functools
import importlib
import random
import re
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

LANGUAGES = {
    "en": "eng_Latn",
    "ko": "kor_Hang",
    "de": "deu_Latn",
    "fr": "fra_Latn",
    "es": "spa_Latn",
    "ja": "jpn_Jpan",
    "zh": "cmn_Hani",
    "ru": "rus_Cyrl",
}
"""Our texts' file names and their FineWeb-2 labels."""

UNSPACED = ("ja", "zh")
MAX_SIMILARITY = 0.3
"""Unplanted pairs of documents stay below this Jaccard similarity."""

_FUNCTION_WORDS = frozenset(
    ("the", "be", "to", "of", "and", "that", "have", "with", "is", "a", "in", "for", "it", "as", "this", "by", "or")
)
_COMMENT_BLOCK = re.compile(r"(?:^[ \t]*#[ \t]?[^\n]*\n){3,}", re.MULTILINE)
_SLOT = re.compile(r"\{([^}]*)\}")


@dataclasses.dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of English and the module or topic that it documents."""

    source: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """A document's prose: a title and paragraphs, some of which are headed."""

    language: str
    title: str
    sections: tuple[tuple[str, tuple[str, ...]], ...]
    """(heading or "", paragraphs)."""

    @property
    def paragraphs(self) -> tuple[str, ...]:
        """All paragraphs in order, headings left out."""
        return tuple(paragraph for _, paragraphs in self.sections for paragraph in paragraphs)


@functools.cache
def library_paragraphs() -> tuple[Paragraph, ...]:
    """English prose of the standard library, each paragraph once.

    The modules are those of `texts/modules.txt`, in its order; what a version of Python lacks is passed over.

    Raises:
        FileNotFoundError: this Python came without the sources of its library.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    found: dict[str, str] = {}
    for module in _shipped("modules").split():
        path = folder / f"{module}.py"
        if path.exists():
            for block in _documentation(path.read_text(encoding="utf-8")):
                _collect(block, module.removesuffix("/__init__").replace("/", "."), found)
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    for topic in sorted(topics):
        _collect(topics[topic], f"{topic} in the language reference", found)
    if len(found) < 300:
        raise FileNotFoundError(
            f"the sample draws its English from the standard library's sources, and {str(folder)!r} holds only "
            f"{len(found)!r} paragraphs of them: use a Python that has its .py files"
        )
    return tuple(Paragraph(source, text) for text, source in found.items())


def _documentation(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    for match in _COMMENT_BLOCK.finditer(source):
        yield "\n".join(line.strip().lstrip("#").removeprefix(" ") for line in match[0].splitlines())


def _collect(block: str, source: str, found: dict[str, str]) -> None:
    for raw in re.split(r"\n\s*\n", block):
        text = " ".join(raw.split()).replace("``", "").replace("`", "")
        if _reads_as_prose(text):
            found.setdefault(text, source)


def _reads_as_prose(text: str) -> bool:
    """Whole sentences with function words; no code, no tables, nothing that C4 takes for boilerplate."""
    if not 150 <= len(text) <= 1400 or not text[0].isupper() or text[-1] not in ".!?":
        return False
    if any(mark in text for mark in ("{", "}", ">>>", "|", "==", "javascript", "JavaScript", "XXX", "terms of use")):
        return False
    words = text.lower().split()
    function = sum(word in _FUNCTION_WORDS for word in words) / len(words)
    letters = sum(char.isalpha() or char == " " for char in text) / len(text)
    return function >= 0.25 and letters >= 0.92


@dataclasses.dataclass(frozen=True, slots=True)
class Topic:
    """Sentences with slots on one subject, and titles for it."""

    name: str
    titles: tuple[str, ...]
    sentences: tuple[str, ...]


def topics(language: str) -> tuple[Topic, ...]:
    """The topics of `texts/<language>.txt`: `# name|title|title` lines, each followed by one sentence a line."""
    found = []
    for block in _shipped(language).split("# ")[1:]:
        head, *sentences = block.strip().split("\n")
        name, *titles = head.split("|")
        found.append(Topic(name, tuple(titles), tuple(sentences)))
    return tuple(found)


def _shipped(name: str) -> str:
    return (resources.files("service.sample") / "texts" / f"{name}.txt").read_text(encoding="utf-8")


def fill(sentence: str, rng: random.Random) -> str:
    """The sentence with one alternative in each slot."""
    return _SLOT.sub(lambda match: rng.choice(match[1].split("|")), sentence)


def shingles(paragraphs: tuple[str, ...], language: str) -> frozenset[tuple[str, ...]]:
    """5-grams of lower-cased words; of pairs of characters for scripts without spaces."""
    text = " ".join(paragraphs).lower()
    words = re.findall(r"\w{1,2}" if language in UNSPACED else r"\w+", text)
    return frozenset(zip(words, words[1:], words[2:], words[3:], words[4:], strict=False))


def similarity(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    """Jaccard similarity; 1 where both are empty."""
    union = len(one | other)
    return len(one & other) / union if union else 1.0


class Prose:
    """Hands out documents no two of which are near-duplicates.

    Args:
        seed: of everything that is drawn.
        library: the English paragraphs to draw from, as `library_paragraphs` gives them.
    """

    def __init__(self, seed: int, library: tuple[Paragraph, ...]) -> None:
        self._rng = random.Random(f"prose {seed}")
        self._library = library
        self._topics = {language: topics(language) for language in LANGUAGES}
        self._deck: list[Paragraph] = []
        self._epoch = 0
        self._seen: dict[tuple[str, ...], list[int]] = {}
        self._sizes: list[int] = []

    def document(self, language: str) -> Text:
        """A new document of some 150 to 900 words; English is drawn from the library."""
        return self._new(self._from_library if language == "en" else lambda: self.column(language), language)

    def column(self, language: str, sentences: int = 14) -> Text:
        """A piece on one of our own topics, with a section or two on neighbouring ones; not checked for nearness."""
        rng = self._rng
        chosen = rng.sample(self._topics[language], 3)
        shares = (sentences // 2, sentences // 4, sentences - sentences // 2 - sentences // 4)
        sections = []
        for number, (topic, share) in enumerate(zip(chosen, shares, strict=True)):
            lines = rng.sample(topic.sentences, min(share, len(topic.sentences)))
            heading = rng.choice(topic.titles) if number else ""
            sections.append((heading, _into_paragraphs([fill(line, rng) for line in lines], language, rng)))
        return Text(language, rng.choice(chosen[0].titles), tuple(sections))

    def essay(self) -> Text:
        """English: a column of our own, rounded off with a few paragraphs of the library."""
        return self._new(self._mixed, "en")

    def sentence(self, language: str) -> str:
        """One sentence of our own, for comments and teasers."""
        return fill(self._rng.choice(self._rng.choice(self._topics[language]).sentences), self._rng)

    def sentences(self, language: str, count: int) -> list[str]:
        """`count` different sentences of our own, at most as many as there are."""
        pool = [line for topic in self._topics[language] for line in topic.sentences]
        return [fill(line, self._rng) for line in self._rng.sample(pool, min(count, len(pool)))]

    def paragraph(self) -> Paragraph:
        """The next paragraph of the library: first all in order, then shuffled anew each time round."""
        if not self._deck:
            deck = list(self._library)
            if self._epoch:
                self._rng.shuffle(deck)
            self._deck = deck[::-1]
            self._epoch += 1
        return self._deck.pop()

    def _from_library(self) -> Text:
        rng = self._rng
        drawn = [self.paragraph() for _ in range(rng.randint(4, 10))]
        name = Counter(paragraph.source for paragraph in drawn).most_common(1)[0][0]
        title = fill("{A closer look at|Reading|Working with|Notes on|What to know about|The design of} ", rng) + name
        cut = rng.randint(2, len(drawn) - 1)
        parts = (("", drawn[:cut]), (fill("{In practice|Details|Further remarks|Background}", rng), drawn[cut:]))
        return Text("en", title, tuple((head, tuple(p.text for p in paragraphs)) for head, paragraphs in parts))

    def _mixed(self) -> Text:
        column = self.column("en", 10)
        more = tuple(self.paragraph().text for _ in range(3))
        return dataclasses.replace(column, sections=(*column.sections, ("From the workshop", more)))

    def _new(self, draw: Callable[[], Text], language: str) -> Text:
        for _ in range(50):
            text = draw()
            grams = shingles(text.paragraphs, language)
            shared = Counter(number for gram in grams for number in self._seen.get(gram, ()))
            near = (count / (len(grams) + self._sizes[number] - count) for number, count in shared.items())
            if max(near, default=0.0) < MAX_SIMILARITY:
                for gram in grams:
                    self._seen.setdefault(gram, []).append(len(self._sizes))
                self._sizes.append(len(grams))
                return text
        raise RuntimeError(
            f"no further {language!r} document below a similarity of {MAX_SIMILARITY!r} in 50 tries, after "
            f"{len(self._sizes)!r} documents in all languages: ask for fewer pages, or add sentences to texts/"
        )


def _into_paragraphs(sentences: list[str], language: str, rng: random.Random) -> tuple[str, ...]:
    joint = "" if language in UNSPACED else " "
    paragraphs = []
    while sentences:
        size = rng.randint(2, 4)
        paragraphs.append(joint.join(sentences[:size]))
        sentences = sentences[size:]
    return tuple(paragraphs)
