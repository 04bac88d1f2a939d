"""Pages that a pipeline should mostly keep: articles in eight languages, their copies, and threads of a forum."""

import dataclasses
import random
from html import escape

from service.sample import hosts
from service.sample.draft import Draft, Planted, Studio
from service.sample.prose import LANGUAGES, UNSPACED, Text, shingles, similarity

PUBLIC_IPS = ("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222")
"""Public resolvers that anybody may name."""
EDIT_RATES = (0.0, 0.002, 0.01, 0.03, 0.08, 0.2)
WRONG_LABELS = {"euc-kr": "utf-8", "shift_jis": "iso-8859-1", "cp1252": "utf-8", "gb18030": "Big5", "cp1251": "koi8-r",
                "iso-8859-1": "utf-8", "euc_jp": "Shift_JIS"}  # fmt: skip
"""What a page in that encoding claims where it is mislabelled."""

_PII_LINE = {
    "en": "Questions about this page reach {who} at {mail}, and the service that was measured answers on {ip}.",
    "ko": "이 글에 대한 물음은 {mail} 주소로 {who} 앞으로 보내 주시고 시험에 쓴 서버는 {ip} 주소에서 응답합니다.",
    "de": "Fragen zu diesem Beitrag beantwortet {who} unter {mail}, und der gemessene Dienst antwortet auf {ip}.",
}


def articles(studio: Studio, language: str, count: int) -> list[Draft]:
    """`count` different articles; some hold personal data, some announce no charset or a wrong one."""
    drafts = []
    for number in range(count):
        host, text = studio.article(language)
        planted = Planted(kind="article")
        if number % 9 == 4 and language in _PII_LINE:
            text, planted = _with_personal_data(studio, text, number)
        if number % 8 == 1:
            planted = dataclasses.replace(planted, label="missing")
        elif number % 8 == 5 and host.encoding in WRONG_LABELS:
            planted = dataclasses.replace(planted, label=WRONG_LABELS[host.encoding])
        drafts.append(studio.page(host, text, planted))
    return drafts


def _with_personal_data(studio: Studio, text: Text, number: int) -> tuple[Text, Planted]:
    who = studio.rng.choice(hosts.CHROME["de" if text.language == "de" else "en"].names)
    mail = f"{who.lower().replace('ü', 'ue')}.{number}@letters.millrace.example"
    public = studio.rng.choice(PUBLIC_IPS)
    private = f"192.168.{number % 250}.{number * 7 % 250 + 1}"
    line = _PII_LINE[text.language].format(who=who, mail=mail, ip=public)
    line += f" ({private})" if text.language == "ko" else f" ({private}.)".replace(".)", ").")
    (heading, first), *rest = text.sections
    return (
        dataclasses.replace(text, sections=((heading, (*first, line)), *rest)),
        Planted(kind="article", pii=(mail, public), safe=(private,), defects=("personal_data",)),
    )


def families(studio: Studio, language: str, count: int) -> list[Draft]:
    """`count` near-duplicates in families of two to six; the first of each is an article of its own."""
    drafts: list[Draft] = []
    while len(drafts) < count:
        name = f"{language}-{len(drafts):03d}"
        host, text = studio.article(language)
        original = shingles(text.paragraphs, language)
        drafts.append(studio.page(host, text, Planted(kind="near_duplicate", family=name)))
        left = count - len(drafts)
        size = min(studio.rng.randint(2, 4), left)
        for rate in studio.rng.sample(EDIT_RATES, left if left == size + 1 else size):
            edited = _edited(text, rate, studio.rng)
            near = round(similarity(original, shingles(edited.paragraphs, language)), 4)
            planted = Planted(kind="near_duplicate", family=name, edit_rate=rate, similarity=near)
            other = hosts.MIRROR if language == "en" else studio.rng.choice(hosts.ARTICLES[language])
            drafts.append(studio.page(other, edited, planted))
    return drafts


def _edited(text: Text, rate: float, rng: random.Random) -> Text:
    """Each word (each character where there are no spaces) replaced by another of the text with chance `rate`."""
    joint = "" if text.language in UNSPACED else " "
    pool = [word for paragraph in text.paragraphs for word in (paragraph.split(" ") if joint else paragraph)]
    edit = dict.fromkeys(text.paragraphs, "")
    for paragraph in edit:
        words = paragraph.split(" ") if joint else list(paragraph)
        edit[paragraph] = joint.join(rng.choice(pool) if rng.random() < rate else word for word in words)
    sections = tuple((head, tuple(edit[p] for p in paragraphs)) for head, paragraphs in text.sections)
    return dataclasses.replace(text, sections=sections)


def exact_copies(studio: Studio, count: int) -> list[Draft]:
    """The same bytes under another URL: pairs of equal payloads, hence of equal digests."""
    drafts = []
    for number in range((count + 1) // 2):
        host, text = studio.article("ko" if number % 5 == 4 else "en")
        first = studio.page(host, text, Planted(kind="exact_copy", family=f"copy-{number:03d}"))
        mark = "&" if "?" in first.url else "?"
        drafts += [first, dataclasses.replace(first, url=f"{first.url}{mark}utm_source=feed&utm_campaign={number}")]
    return drafts[:count]


def url_variants(studio: Studio, count: int) -> list[Draft]:
    """One page four times over: its URL, the same spelled otherwise, the other scheme, and a slash more or less.

    RFC 3986 tells that the second is the first; of the other two only the servers know.
    """
    drafts: list[Draft] = []
    while len(drafts) < count:
        host, text = studio.article("en")
        number = len(drafts) // 4
        first = studio.page(host, text, Planted(kind="url_variant", family=f"variant-{number:03d}"))
        marked = (*first.defects, "respelled_url")
        scheme, _, rest = first.url.partition("://")
        other = {"http": "https", "https": "http"}[scheme]
        slashed = rest.removesuffix("/") if rest.endswith("/") else f"{rest}/"
        drafts.append(first)
        drafts.append(dataclasses.replace(first, url=_respelled(first.url, number), defects=marked))
        drafts += [dataclasses.replace(first, url=url) for url in (f"{other}://{rest}", f"{scheme}://{slashed}")]
    return drafts[:count]


def _respelled(url: str, number: int) -> str:
    """Another spelling of the same URL: the default port, capitals in the host, a dot segment, or a fragment."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    port = {"http": "80", "https": "443"}[scheme]
    return (f"{scheme}://{host}:{port}/{path}", f"{scheme}://{host.upper()}/{path}", f"{scheme}://{host}/./{path}",
            f"{url}#comments")[number % 4]  # fmt: skip


def threads(studio: Studio, count: int) -> list[Draft]:
    """Threads of a forum: many short voices, signatures and quotes between them."""
    drafts = []
    names = hosts.CHROME["en"].names
    for _ in range(count):
        text = studio.prose.document("en")
        posts = "\n".join(
            f'<div class="post" id="p{n}"><p class="author"><b>{names[n % len(names)]}</b> » 2026-03-{n + 1:02d}</p>'
            f'<div class="content">{escape(paragraph, quote=False)}</div>'
            f'<div class="signature">-- <br>{escape(studio.prose.sentence("en"))}</div></div>'
            for n, paragraph in enumerate(text.paragraphs)
        )
        draft = studio.page(hosts.FORUM, text, Planted(kind="thread"), posts)
        drafts.append(dataclasses.replace(draft, language=LANGUAGES["en"]))
    return drafts


def adult(studio: Studio, count: int) -> list[Draft]:
    """Harmless texts under URLs that word lists and domain lists know: only the URL gives them away."""
    drafts = []
    for number in range(count):
        base, reason = ADULT_URLS[number % len(ADULT_URLS)]
        _, text = studio.article("en")
        planted = Planted(kind="adult", stages=("url_filter",), defects=(reason,), url=f"{base}{number:03d}")
        drafts.append(studio.page(hosts.FARM, text, planted))
    return drafts


ADULT_URLS = (
    ("https://www.afterdark.example/nsfw/gallery-", "banned_word"),
    ("https://www.afterdark.example/xxx/", "banned_word"),
    ("http://night.velvet-room.example/kinky/page-", "banned_word"),
    ("https://boutique.velvet-room.example/lingerie/sexy/item-", "soft_words"),
    ("https://www.afterdark.example/erotic-stories/nude-", "soft_words"),
    ("https://hot-chat-lounge.example/room/", "banned_subword"),
    ("http://www.city-escort-service.example/profile/", "banned_subword"),
    ("https://cafeblogs.cf/post/", "listed_domain"),
    ("http://avsecure.avsecure.cf/offer/", "listed_domain"),
)
"""(URL up to a number, what the lists find in it). The listed domains stand in the UT1 list and are long gone."""
