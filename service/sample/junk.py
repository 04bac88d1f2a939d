"""Pages that a pipeline should drop, each for a reason of its own."""

import dataclasses
from collections.abc import Callable
from html import escape

from service.sample import hosts
from service.sample.draft import SHORT_TEXT, Draft, Planted, Studio
from service.sample.prose import Text, fill

GOODS = ("flour mill", "grain grinder", "bread maker", "oat roller", "rice cooker", "coffee grinder", "seed spreader")
TOWNS = ("Ashford", "Benton", "Carlow", "Dunmore", "Elgin", "Farley", "Gorton", "Halsey", "Irvine", "Jarrow", "Kelso",
         "Lorton", "Marlow")  # fmt: skip
LOREM = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore "
    "magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip."
)
POLICY = (
    "This privacy policy explains how we use cookies and how we share what they record with our partners.",
    "By opening any page you accept the terms of use and the cookie policy in the form of the day.",
    "The site uses cookies of its own and of others to remember your choices between two visits.",
    "The use of cookies can be refused in the settings of your browser at any time and without a reason.",
    "Read the privacy policy of each partner before you follow a link that leads away from our pages.",
    "We keep the terms of use under review and the date at the top of this page shows the last change.",
)


def _en(title: str, *paragraphs: str) -> Text:
    return Text("en", title, (("", paragraphs),))


def _html(lines: list[str]) -> str:
    return "\n".join(f"<p>{escape(line, quote=False)}</p>" for line in lines)


def archives(studio: Studio, count: int) -> list[Draft]:
    """Tag and archive pages: titles and first words of articles, each cut off by an ellipsis."""
    drafts = []
    for number in range(count):
        language = ("en", "en", "en", "ko", "de", "fr")[number % 6]
        host = studio.rng.choice((*hosts.ARTICLES[language], *([hosts.GAZETTE] if language == "en" else [])))
        words = hosts.CHROME[host.language]
        teasers = []
        sentences = studio.prose.sentences(language, 2 * studio.rng.randint(8, 16))
        for first, second in zip(sentences[::2], sentences[1::2], strict=True):
            start = " ".join(first.split()[:14])
            head = second.split(",")[0]
            more = f'<a href="#">{words.more}</a>' if number % 2 else ""
            teasers.append(f'<h3><a href="#">{escape(head)}</a></h3><p>{escape(start)} …</p>{more}')
        text = Text(language, f"{words.archive} {number + 1}", ())
        page = f"\n<p><a href='?page=2'>{words.older}</a></p>"
        planted = Planted(kind="archive", stages=SHORT_TEXT if language == "en" else ())
        drafts.append(studio.page(host, text, planted, "\n".join(teasers) + page))
    return drafts


def stubs(studio: Studio, count: int) -> list[Draft]:
    """A line or two: log-in pages, empty wiki entries, short notices."""
    drafts = []
    for number in range(count):
        host = studio.rng.choice(hosts.ARTICLES[("en", "en", "ko", "de")[number % 4]])
        words = hosts.CHROME[host.language]
        text = Text(host.language, words.nav[number % 5], (("", (studio.prose.sentence(host.language),)),))
        stages = SHORT_TEXT if host.language == "en" else ()
        drafts.append(studio.page(host, text, Planted(kind="stub", stages=stages)))
    return drafts


def keyword_spam(studio: Studio, count: int) -> list[Draft]:
    """The same few words over and over, in every order that a shop could think of."""
    drafts = []
    for _ in range(count):
        thing = studio.rng.choice(GOODS)
        adjectives = ["cheap", "best", "buy", "discount", "top", "sale", "online", "free shipping", "review"]
        lines = []
        for _ in range(studio.rng.randint(12, 22)):
            lines.append(" ".join(f"{studio.rng.choice(adjectives)} {thing}" for _ in range(9)) + ".")
        text = _en(f"Buy {thing} online, cheap {thing}, best {thing}", *lines)
        drafts.append(studio.page(hosts.SHOP, text, Planted(kind="spam_keywords", stages=SHORT_TEXT)))
    return drafts


def phrase_spam(studio: Studio, count: int) -> list[Draft]:
    """Doorway pages: one paragraph for every town, the town's name aside the same."""
    drafts = []
    for _ in range(count):
        thing = studio.rng.choice(GOODS)
        towns = studio.rng.sample(TOWNS, 11)
        pitch = "{Nobody beats|You will love|Our customers praise} the price of the {best|finest|new} "
        pitch = fill(pitch, studio.rng)
        lines = [
            f"Are you looking for a {thing} in {town} that you can trust? {pitch}{thing} that we bring to your door in "
            f"{town}, and with the help of our friendly team you will have it by tomorrow."
            for town in towns
        ]
        text = _en(f"{thing.title()} in {towns[0]} and all around", *lines)
        drafts.append(studio.page(hosts.FARM, text, Planted(kind="spam_phrases", stages=SHORT_TEXT)))
    return drafts


def _with_paragraph(studio: Studio, count: int, kind: str, make: Callable[[int], str]) -> list[Draft]:
    drafts = []
    for number in range(count):
        host, text = studio.article("en")
        (heading, first), *rest = text.sections
        changed = dataclasses.replace(text, sections=((heading, (first[0], make(number), *first[1:])), *rest))
        drafts.append(studio.page(host, changed, Planted(kind=kind, stages=SHORT_TEXT)))
    return drafts


def lorem(studio: Studio, count: int) -> list[Draft]:
    """Articles whose template still holds its dummy text."""
    return _with_paragraph(studio, count, "lorem_ipsum", lambda _: LOREM)


def code(studio: Studio, count: int) -> list[Draft]:
    """Articles with code between the paragraphs: C4 drops every page that shows a curly bracket."""

    def snippet(number: int) -> str:
        return (
            f"The handler of the example reads function onLoad_{number}(event) {{ return event.target.value; }} and "
            "has to be registered before the page is shown, or the first event of the session will be lost to it."
        )

    return _with_paragraph(studio, count, "code", snippet)


def script_warnings(studio: Studio, count: int) -> list[Draft]:
    """Pages of an application that show nothing without their script."""
    drafts = []
    for number in range(count):
        lines = ("You need to enable JavaScript to run this app.", "Please turn on Javascript in your browser.",
                 f"If this message stays for long, reload the page. Error code {1000 + number}.")  # fmt: skip
        text = _en(f"App {number}", *lines)
        drafts.append(studio.page(hosts.SHOP, text, Planted(kind="script_warning", stages=SHORT_TEXT)))
    return drafts


def policies(studio: Studio, count: int) -> list[Draft]:
    """Cookie and privacy policies: each line of theirs is one that C4 drops."""
    drafts = []
    for number in range(count):
        lines = [*POLICY[number % 6 :], *POLICY[: number % 6]]
        text = _en(f"Policy {number}", *lines)
        host = studio.rng.choice(hosts.ARTICLES["en"])
        drafts.append(studio.page(host, text, Planted(kind="policy", stages=SHORT_TEXT)))
    return drafts


_MODERN = (hosts.GAZETTE, *(host for host in hosts.ARTICLES["en"] if host.layout in ("blog", "docs", "wiki")))
"""Sites whose pages an extractor takes line by line, so that a listing's shape survives."""


def listings(studio: Studio, count: int) -> list[Draft]:
    """Pages of prose that is too much like a list, a table or a poem; the shapes of `SHAPES` in turn."""
    drafts = []
    for number in range(count):
        shape = tuple(SHAPES)[number % len(SHAPES)]
        main = SHAPES[shape](studio)
        text = _en(f"{shape.replace('_', ' ').title()} {number}")
        host = studio.rng.choice(_MODERN)
        planted = Planted(kind="listing", stages=SHORT_TEXT, defects=(shape,))
        drafts.append(studio.page(host, text, planted, main))
    return drafts


def _sentences(studio: Studio, count: int) -> list[str]:
    return studio.prose.sentences("en", count)


def _bullets(studio: Studio) -> str:
    items = "\n".join(f"<li>{escape(line)}</li>" for line in _sentences(studio, 24))
    return f"<ul>\n{items}\n</ul>"


def _hashtags(studio: Studio) -> str:
    tags = ("#flour", "#bread", "#rye", "#crawl", "#stone", "#harvest")
    lines = []
    for line in _sentences(studio, 12):
        marked = [w if n % 4 else f"{studio.rng.choice(tags)} {w}" for n, w in enumerate(line.split())]
        lines.append(" ".join(marked))
    return _html(lines)


def _figures(studio: Studio) -> str:
    rng = studio.rng
    rows = "\n".join(
        f"<p>In week {week} the mill took {rng.randint(100, 999)} 000 , {rng.random():.3f} , {rng.random():.3f} , "
        f"{rng.randint(10, 99)} / {rng.randint(10, 99)} , {rng.randint(1000, 9999)} and {rng.randint(10, 99)} .</p>"
        for week in range(1, 40)
    )
    return f"<h2>The figures of the year</h2>\n{rows}"


def _short_lines(studio: Studio) -> str:
    rng = studio.rng
    names = ["Anna", "Bert", "Clem", "Dora", "Emil", "Fay", "Gus", "Hal", "Ida", "Jo", "Kit", "Lou", "Max", "Nan",
             "Olaf", "Pat", "Rob", "Sue", "Tom", "Una", "Vic"]  # fmt: skip
    deeds = ["bakes", "mills", "sings", "waits", "reads", "walks", "sews", "digs", "cooks", "rows", "rests", "sweeps",
             "paints", "counts"]  # fmt: skip
    rng.shuffle(names)
    rng.shuffle(deeds)
    spots = ("with me", "at home", "in town", "every day", "to the end", "that week", "and sleeps", "on deck")
    lines = [f"{name} {deeds[n % 14]} {spots[n * 3 % 8]}." for n, name in enumerate(names)]
    lines += [f"{deeds[n].capitalize()} old {names[-n]} {spots[n % 7]}?" for n in range(1, 14)]
    return _html(lines + _sentences(studio, 3))


def _verses(studio: Studio) -> str:
    lines = [f"And {line.lower().rstrip('.')} with a heavy heart" for line in _sentences(studio, 16)]
    return _html([" ".join(line.split()[:13]) for line in lines])


def _long_words(studio: Studio) -> str:
    parts = ("phospho", "glycero", "hydroxy", "methyl", "carboxy", "dextro", "amylo", "pectino", "lipo", "keto")
    words = ["".join(studio.rng.sample(parts, 3)) + "transferase" for _ in range(120)]
    rows = [", ".join(words[n : n + 12]) for n in range(0, 120, 12)]
    return _html([f"The enzymes of the grain and the mill are {row}." for row in rows])


def _no_stop_words(studio: Studio) -> str:
    who = "{Our baker|Their miller|Every cook|My neighbour|This farmer|Some apprentice|Another brewer|Her cousin}"
    does = "{mixes|weighs|carries|sells|dries|tastes|spills|stores|sifts|orders}"
    what = "{fresh dough|dark rye flour|sweet malt|two heavy sacks|coarse bran|cold milk|roasted barley|salted butter}"
    when = "{every morning|before sunrise|after lunch|on market days|in winter|without any help|for twelve guests}"
    return _html([fill(f"{who} {does} {what} {when} {where}.", studio.rng) for where in _PLACES])


_PLACES = ("in this small kitchen", "near our old bridge", "behind his shop", "at your local market", "by a warm stove",
           "on their farm", "under our roof", "across my street", "from her own fields", "beside an empty barn",
           "inside its cool cellar", "outside your window")  # fmt: skip


def _ellipses(studio: Studio) -> str:
    lines = []
    for line in _sentences(studio, 12):
        lines.append(" ".join(f"{word} ..." if n % 5 == 4 else word for n, word in enumerate(line.split())))
    return _html(lines)


def _repeated_lines(studio: Studio) -> str:
    lines = []
    for line in _sentences(studio, 11):
        lines += [line, "Click here to see the full review.", "Add this item to the basket today."]
    return _html(lines)


def _returning_line(studio: Studio) -> str:
    lines = _sentences(studio, 15)
    for place in (5, 10, 17):
        lines.insert(place, "Go back to the top of this page.")
    return _html(lines)


def _few_sentences(studio: Studio) -> str:
    first, second = (line.rstrip(".") for line in _sentences(studio, 2))
    third = "and the rest of it was told at such a length that nobody in the room could have said how it began"
    end = "nor who would have to sweep the floor of the mill"
    return _html([f"{first}, {second[0].lower()}{second[1:]}, {third}, {end}."])


SHAPES: dict[str, Callable[[Studio], str]] = {
    "bullet_list": _bullets,
    "hashtags": _hashtags,
    "figures": _figures,
    "short_lines": _short_lines,
    "verses": _verses,
    "long_words": _long_words,
    "no_stop_words": _no_stop_words,
    "ellipses": _ellipses,
    "repeated_lines": _repeated_lines,
    "returning_line": _returning_line,
    "few_sentences": _few_sentences,
}
"""Defect -> how a page with it is made."""
