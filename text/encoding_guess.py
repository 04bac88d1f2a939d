"""Guesses the encoding of bytes that say nothing about it and aren't UTF-8.

charset_normalizer, confined to encodings that pages use, tells the multi-byte ones apart well; among those of one byte
a character it took French for Polish and Hebrew for Russian (both measured). There the alphabets below decide: in the
right encoding nearly all letters beyond ASCII are of one language's alphabet, and most of them small.
"""

import re

import charset_normalizer

__all__ = ["guess"]

_MULTI_BYTE = ("cp949", "cp932", "euc_jp", "gb18030", "big5hkscs")
_WESTERN = (
    "àâæçéèêëîïôœùûüÿ",  # French
    "äöüß",  # German
    "áéíóúüñ¿¡ºª",  # Spanish
    "àáâãçéêíóôõúüºª",  # Portuguese
    "àèéìíòóùú",  # Italian
    "åäöæøé",  # Swedish, Danish, Norwegian, Finnish
    "áðéíóúýþæö",  # Icelandic
    "àçèéíïòóúü·",  # Catalan
    "éëïèöüáóí",  # Dutch
)
_CENTRAL = (
    "ąćęłńóśźż",  # Polish
    "áčďéěíňóřšťúůýž",  # Czech
    "áäčďéíĺľňóôŕšťúýž",  # Slovak
    "áéíóöőúüű",  # Hungarian
    "čćđšž",  # Croatian, Slovene
    "ăâîşţ",  # Romanian
)
_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґў"
_GREEK = "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ"
_HEBREW = "אבגדהוזחטיךכלםמןנסעףפץצקרשת"
_ARABIC = "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيپچژگ"
_THAI = "".join(map(chr, (*range(0xE01, 0xE3B), *range(0xE40, 0xE4F))))
# Of equal scores the first row wins. Hebrew, Cyrillic, Greek: bytes of each are letters of the next, too.
_LATIN: tuple[tuple[str, str], ...] = (
    *(("cp1252", letters) for letters in _WESTERN),
    *(("cp1250", letters) for letters in _CENTRAL),
    *(("iso8859_2", letters) for letters in _CENTRAL),
    ("cp1254", "çğıöşüâîû"),
    ("cp1257", "ąčęėįšųūžāēģīķļņõäöü"),
)
_OTHER: tuple[tuple[str, str], ...] = (
    ("cp1255", _HEBREW),
    ("cp1251", _CYRILLIC),
    ("koi8_r", _CYRILLIC),
    ("cp1253", _GREEK),
    ("cp1256", _ARABIC),
    ("cp874", _THAI),
)
_MIN_SCORE = 0.8
_MIN_KANA = 0.2
_MIN_HANGUL = 0.9

_BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")
_BESIDE_ASCII = re.compile(rb"[a-zA-Z][\x80-\xff]|[\x80-\xff][a-zA-Z]")
# Signs that any language uses; a replaced character counts against the encoding.
_NEUTRAL = re.compile("[\x00-\x7f\xa0«»°™€£§·×–—‘’‚“”„…•]+")
_PAIR = re.compile(rb"[\x81-\xfe][\x41-\xfe]")
_HANGUL_PAIR = re.compile(rb"[\xb0-\xc8][\xa1-\xfe]")
_SIGN_PAIR = re.compile(rb"[\xa1-\xa3][\xa1-\xfe]")
_KANA = re.compile("[\u3041-\u30ff]")


def guess(sample: bytes) -> str:
    """Returns Python's name of the codec that `sample` looks like most, or `""`; equal bytes, equal guess.

    Args:
        sample: up to some tens of KiB, with text beyond ASCII in it; the time grows with it.
    """
    if _is_euc_jp(sample):  # which, when short, is also plausible Korean
        return "euc_jp"
    if _is_euc_kr(sample):  # which, when short, was taken for Thai
        return "cp949"
    codecs = [*_MULTI_BYTE, *dict.fromkeys(codec for codec, _ in (*_LATIN, *_OTHER))]
    best = charset_normalizer.from_bytes(sample, cp_isolation=codecs).best()
    if best and best.encoding in _MULTI_BYTE:
        return best.encoding
    return _by_alphabet(sample) or (best.encoding if best else "")


def _is_euc_jp(sample: bytes) -> bool:
    text = sample.decode("euc_jp", "replace")
    beyond = sum(map(len, re.findall("[^\x00-\x7f]+", text)))
    broken = text.count("\ufffd")
    return len(_KANA.findall(text)) > _MIN_KANA * beyond and broken <= 0.01 * beyond + 1


def _is_euc_kr(sample: bytes) -> bool:
    """Tells whether nearly all pairs are modern Hangul; in Chinese or Japanese about half at most look so."""
    pairs = [pair for pair in _PAIR.findall(sample) if not _SIGN_PAIR.match(pair)]
    hangul = sum(1 for pair in pairs if _HANGUL_PAIR.match(pair))
    return len(pairs) >= 4 and hangul >= _MIN_HANGUL * len(pairs)


def _by_alphabet(sample: bytes) -> str:
    """Returns the codec under which most characters beyond ASCII are of one alphabet; the first of equal ones."""
    beyond = b"".join(_BEYOND_ASCII.findall(sample))
    # Latin letters beyond ASCII stand among ASCII ones; other scripts fill whole words
    latin = len(_BESIDE_ASCII.findall(sample)) > len(beyond) / 4
    best = (_MIN_SCORE, "")
    for codec, letters in _LATIN if latin else _OTHER:
        text = _NEUTRAL.sub("", beyond.decode(codec, "replace"))
        small = sum(map(text.count, letters))
        capital = sum(map(text.count, set(letters.upper()) - set(letters)))
        score = (small + capital / 2) / len(text) if text else 0.0
        if score > best[0]:
            best = score, codec
    return best[1]
