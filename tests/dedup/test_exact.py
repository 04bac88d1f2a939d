"""Duplicates by URL and by digest."""

import pytest

from dedup.exact import DigestDedup, UrlDedup
from dedup.keepers import KEEPERS
from schemas.records import Document

A = "http://example.com/a"
SHA1 = "sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ"

CASES = {
    "url_equal": (UrlDedup(), Document("", url=A), Document("x", url=A, dump="other"), True),
    "url_spelling": (UrlDedup(), Document("", url=A), Document("", url="HTTP://EXAMPLE.com:80/a#b"), True),
    "url_differs": (UrlDedup(), Document("", url=A), Document("", url=A + "/"), False),
    "url_same_dump": (UrlDedup(scope=("dump",)), Document("", url=A, dump="x"), Document("", url=A, dump="x"), True),
    "url_other_dump": (UrlDedup(scope=("dump",)), Document("", url=A, dump="x"), Document("", url=A, dump="y"), False),
    "digest_equal": (DigestDedup(), Document("", digest=SHA1), Document("", digest=f" {SHA1}"), True),
    "digest_algorithm": (
        DigestDedup(),
        Document("", digest=SHA1),
        Document("", digest=SHA1.replace("sha", "SHA")),
        True,
    ),
    "digest_other_algorithm": (DigestDedup(), Document("", digest=SHA1), Document("", digest="md5:" + SHA1[5:]), False),
    "digest_differs": (DigestDedup(), Document("", digest=SHA1), Document("", digest=SHA1[:-1] + "K"), False),
    "digest_bare": (DigestDedup(), Document("", digest="abc"), Document("", digest="abc"), True),
    "digest_bare_case": (DigestDedup(), Document("", digest="abc"), Document("", digest="ABC"), False),
    "digest_other_language": (
        DigestDedup(scope=("language",)),
        Document("", digest=SHA1, language="srp", language_script="Cyrl"),
        Document("", digest=SHA1, language="srp", language_script="Latn"),
        False,
    ),
}


@pytest.mark.parametrize(("stage", "one", "other", "same"), CASES.values(), ids=CASES)
def test_keys(stage: UrlDedup | DigestDedup, one: Document, other: Document, same: bool) -> None:
    a, b = stage.keys(one), stage.keys(other)
    assert a.shape == b.shape == (1,)
    assert a.dtype == b.dtype == "uint64"
    assert (a.tolist() == b.tolist()) is same


NEVER = {
    "no_url": (UrlDedup(), Document("some text")),
    "blank_url": (UrlDedup(), Document("", url=" \n")),
    "no_digest": (DigestDedup(), Document("some text", url=A)),
    "digest_without_value": (DigestDedup(), Document("", digest="sha1:")),
}


@pytest.mark.parametrize(("stage", "doc"), NEVER.values(), ids=NEVER)
def test_never_a_duplicate(stage: UrlDedup | DigestDedup, doc: Document) -> None:
    assert stage.keys(doc).tolist() == []


def test_scope_values_do_not_run_into_each_other() -> None:
    stage = UrlDedup(scope=("dump", "language"))
    docs = [
        Document("", url=A, dump="ab", language="c"),
        Document("", url=A, dump="a", language="bc"),
        Document("", url=A, dump="", language="abc"),
        Document("", url=A, dump="", language="", language_script="abc"),
    ]
    assert len({int(stage.keys(doc)[0]) for doc in docs}) == len(docs)


def test_contract() -> None:
    old = Document("", url=A, date="2020-01-01T00:00:00Z")
    for stage in (UrlDedup, DigestDedup):
        assert stage.needs_text is False
        assert stage().scope == ()
        assert stage().priority(old) == 0
        assert stage(keep="oldest").priority(old) == KEEPERS["oldest"](old)
    assert (UrlDedup.reasons, DigestDedup.reasons) == (("duplicate_url",), ("duplicate_digest",))
