import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.rules.blocklist import HashedLines, ListError, read_lines, read_words
from curation.rules.url_filter import UrlFilter
from schemas.records import Document, Verdict

LISTS = {
    "domains": "intranet\n# a comment\nbad.com\nsub.example.co.uk\n\n10.1.2.3\n  spaced.org  \n",
    "urls": "http://site.org/page\nlisted.org/page/\nlisted.org/other\n",
    "hard": "Porn-Tube\n#xx\nslut\n",
    "soft": "sex\nteen\nhot\n",
    "subwords": "xvideo\ncam 4\n",
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name, text in LISTS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return {name: tmp_path / name for name in LISTS}


def stage(**changes: object) -> UrlFilter:
    lists = {"domains": "domains", "urls": "urls", "words": "hard", "soft_words": "soft", "subwords": "subwords"}
    return UrlFilter(**({parameter: (name,) for parameter, name in lists.items()} | changes))


CASES = {
    "plain": ("https://example.org/a?b=c#d", None),
    "empty": ("", "invalid_url"),
    "no_host": ("https:///path", "invalid_url"),
    "domain": ("https://bad.com/x", "banned_domain"),
    "domain_of_subdomain": ("https://a.b.bad.com:8080/", "banned_domain"),
    "domain_behind_user": ("https://user:secret@bad.com/", "banned_domain"),
    "domain_spaced_in_list": ("https://spaced.org", "banned_domain"),
    "other_domain_with_that_end": ("https://notbad.com/", None),
    "domain_in_path_only": ("https://good.org/bad.com", None),
    "domain_in_capitals": ("https://BAD.com/x", None),
    "subdomain": ("https://sub.example.co.uk/x", "banned_subdomain"),
    "its_registered_domain": ("https://example.co.uk/x", None),
    "below_the_subdomain": ("https://www.sub.example.co.uk/x", None),
    "ip": ("http://10.1.2.3/x", None),
    "url": ("http://site.org/page", "banned_url"),
    "url_with_more": ("http://site.org/page/", None),
    "url_listed_without_scheme": ("http://listed.org/other", None),
    "word": ("https://a.org/slut/1", "banned_word"),
    "word_in_capitals": ("https://a.org/Slut/1", None),
    "word_inside_another": ("https://a.org/slutsky", None),
    "word_of_two_parts": ("https://a.org/porn-tube", None),
    "word_joined": ("https://a.org/porntube.html", "banned_word"),
    "commented_word": ("https://a.org/xx", None),
    "one_soft_word": ("https://a.org/sex/sex", None),
    "two_soft_words": ("https://a.org/sex-teen", "soft_banned_words"),
    "subword": ("https://a.org/my-X-Video-s", "banned_subword"),
    "subword_over_bounds": ("https://scam.4chan.org/", "banned_subword"),
}


@pytest.mark.parametrize("case", CASES)
def test_reasons(case: str, files: dict[str, Path]) -> None:
    url, reason = CASES[case]
    verdict = stage().setup(files)(Document(text="", url=url))
    assert (verdict.reason if verdict else None) == reason


def test_every_reason_is_tested() -> None:
    assert {reason for _, reason in CASES.values()} - {None} == set(UrlFilter.reasons)


def test_values_and_thresholds(files: dict[str, Path]) -> None:
    rule = stage().setup(files)
    assert rule(Document(text="", url="https://a.org/sex-teen-hot")) == Verdict("soft_banned_words", 3, 1)
    assert rule(Document(text="", url="")) == Verdict("invalid_url", 0, 1)
    assert rule(Document(text="", url="https://bad.com/sex-teen-xvideo")) == Verdict("banned_domain", 1, 0)


THOROUGH = {
    "ip": ("http://10.1.2.3/x", "banned_domain"),
    "other_ip": ("http://10.1.2.4/x", None),
    "no_suffix": ("http://Intranet:8080/x", "banned_domain"),
    "capitals": ("https://A.BAD.com/x", "banned_domain"),
    "url_without_scheme": ("http://www.listed.org/other", "banned_url"),
    "url_with_slash_in_the_list": ("https://listed.org/page/", "banned_url"),
    "closing_slash": ("https://listed.org/other/", "banned_url"),
    "another_url": ("https://listed.org/another", None),
}


@pytest.mark.parametrize("case", THOROUGH)
def test_thorough(case: str, files: dict[str, Path]) -> None:
    url, reason = THOROUGH[case]
    verdict = stage(thorough=True).setup(files)(Document(text="", url=url))
    assert (verdict.reason if verdict else None) == reason


def test_thorough_is_a_deviation() -> None:
    assert UrlFilter().deviations() == ()
    assert len(UrlFilter(thorough=True).deviations()) == 1


def test_switches(files: dict[str, Path]) -> None:
    url = "https://a.org/sex-teen"
    assert stage(max_soft_words=None).setup(files)(Document(text="", url=url)) is None
    assert stage(max_soft_words=2).setup(files)(Document(text="", url=url)) is None
    assert stage(max_soft_words=0).setup(files)(Document(text="", url="https://a.org/sex")) == Verdict(
        "soft_banned_words", 1, 0
    )
    assert stage(require_url=False).setup(files)(Document(text="")) is None
    banned = stage(extra_domains=("mine.org",)).setup(files)(Document(text="", url="https://www.mine.org/"))
    assert banned == Verdict("banned_domain", 1, 0)


def test_without_any_list() -> None:
    rule = UrlFilter(domains=(), urls=(), words=(), soft_words=(), subwords=()).setup({})
    assert rule.files() == ()
    assert rule(Document(text="", url="https://bad.com/sex-teen-xvideo")) is None


def test_folders_name_their_two_files(tmp_path: Path) -> None:
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "domains").write_text("adult.org\n")
    (tmp_path / "adult" / "urls").write_text("https://b.org/x\n")
    rule = UrlFilter(domains=(), urls=(), words=(), soft_words=(), subwords=(), folders=(f"{tmp_path}/adult/",))
    assert rule.files() == (f"{tmp_path}/adult/domains", f"{tmp_path}/adult/urls")
    rule = rule.setup({name: Path(name) for name in rule.files()})
    assert rule(Document(text="", url="https://adult.org")) == Verdict("banned_domain", 1, 0)
    assert rule(Document(text="", url="https://b.org/x")) == Verdict("banned_url", 1, 0)


def test_needs_its_lists() -> None:
    assert UrlFilter.needs_text is False
    with pytest.raises(RuntimeError, match=r"'https://a\.org' before its lists were loaded; call setup"):
        UrlFilter()(Document(text="", url="https://a.org"))


@given(st.text() | st.from_regex(r"(https?:)?//[a-z.:@\[\]/?#]*"))
@settings(max_examples=300)
def test_any_url_gets_an_answer(url: str) -> None:
    rule = UrlFilter(domains=(), urls=(), words=(), soft_words=(), subwords=(), extra_domains=("a.org",)).setup({})
    verdict = rule(Document(text="", url=url))
    assert verdict is None or verdict.reason in UrlFilter.reasons


def test_hashed_lines() -> None:
    entries = [f"host{i}.example" for i in range(1000)]
    hashed = HashedLines.of(iter(entries))
    assert len(hashed) == 1000
    assert all(entry in hashed for entry in entries)
    assert "host1000.example" not in hashed
    assert "" not in HashedLines.of([])


def test_lists_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ListError, match=rf"{re.escape(repr(str(tmp_path / 'none')))} can't be read: No such file"):
        list(read_lines(tmp_path / "none"))
    (tmp_path / "latin").write_bytes(b"caf\xe9.fr\n")
    with pytest.raises(ListError, match="no UTF-8 text"):
        list(read_lines(tmp_path / "latin"))
    (tmp_path / "korean").write_text("도박\n", encoding="utf-8")
    with pytest.raises(ListError, match="'도박', which holds no ASCII letter"):
        list(read_words(tmp_path / "korean"))
