"""One spelling of a URL, and what is kept apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.urls import normalise_url

SAME = {
    "plain": ("http://example.com/a", "http://example.com/a"),
    "around": (" \t\nhttp://example.com/a\r\n\x00", "http://example.com/a"),
    "fragment": ("http://example.com/a#part", "http://example.com/a"),
    "empty_fragment": ("http://example.com/a#", "http://example.com/a"),
    "question_in_fragment": ("http://example.com/a#b?c", "http://example.com/a"),
    "scheme_and_host": ("HTTP://Example.COM/A", "http://example.com/A"),
    "user_keeps_case": ("http://User:Pw@EXAMPLE.com/", "http://User:Pw@example.com/"),
    "default_port": ("http://example.com:80/a", "http://example.com/a"),
    "default_tls_port": ("https://example.com:443/a", "https://example.com/a"),
    "empty_port": ("http://example.com:/a", "http://example.com/a"),
    "other_port": ("http://example.com:8080/a", "http://example.com:8080/a"),
    "the_others_port": ("http://example.com:443/a", "http://example.com:443/a"),
    "ipv6": ("http://[2001:DB8::1]:80/", "http://[2001:db8::1]/"),
    "empty_path": ("http://example.com", "http://example.com/"),
    "empty_path_and_query": ("http://example.com?q=1", "http://example.com/?q=1"),
    "dots": ("http://example.com/a/./b/../c", "http://example.com/a/c"),
    "dots_above_the_root": ("http://example.com/../../a", "http://example.com/a"),
    "dots_at_the_end": ("http://example.com/a/b/..", "http://example.com/a/"),
    "dot_at_the_end": ("http://example.com/a/.", "http://example.com/a/"),
    "encoded_dots": ("http://example.com/a/%2e%2E/b", "http://example.com/b"),
    "dots_in_query": ("http://example.com/?a=/../b", "http://example.com/?a=/../b"),
    "unreserved": ("http://example.com/%7Euser/%41", "http://example.com/~user/A"),
    "reserved": ("http://example.com/a%2fb?c%3d", "http://example.com/a%2Fb?c%3D"),
    "stray_percent": ("http://example.com/100%", "http://example.com/100%"),
    "encoded_percent": ("http://example.com/%2541", "http://example.com/%2541"),
    "korean": ("http://example.com/한", "http://example.com/%ED%95%9C"),
    "blank": ("http://example.com/a b", "http://example.com/a%20b"),
    "no_host": ("mailto:A@Example.com", "mailto:A@Example.com"),
    "urn": ("urn:uuid:1/../2", "urn:uuid:1/../2"),
    "no_scheme": ("//Example.com", "//example.com/"),
    "no_url": ("just words", "just%20words"),
    "empty": ("", ""),
    "blanks": (" \t", ""),
}


@pytest.mark.parametrize(("url", "expected"), SAME.values(), ids=SAME)
def test_spelling(url: str, expected: str) -> None:
    assert normalise_url(url) == expected
    assert normalise_url(expected) == expected


APART = [
    "http://example.com/a",
    "https://example.com/a",
    "http://www.example.com/a",
    "http://example.com/a/",
    "http://example.com/A",
    "http://example.com/a?",
    "http://example.com/a?x=1&y=2",
    "http://example.com/a?y=2&x=1",
    "http://example.com/a?x=1&y=2&utm_source=z",
    "http://example.com//a",
    "http://example.com./a",
]


def test_what_servers_may_answer_otherwise_is_kept_apart() -> None:
    assert len({normalise_url(url) for url in APART}) == len(APART)


@given(st.text(), st.text())
def test_any_string_gets_an_answer_without_its_fragment(text: str, fragment: str) -> None:
    out = normalise_url(f"http://{text}")
    assert "#" not in out
    assert normalise_url(f"http://{text}#{fragment}") == normalise_url(f"http://{text}#")
    assert normalise_url(text) == normalise_url(f" {text}\n")
