import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.edits.pii import Pii
from schemas.records import Document

MARKED = Pii(emails=("E",), ips=("I",))

CASES = {
    "empty": ("", ""),
    "none": ("no address here", "no address here"),
    "email": ("write to foo.bar+x@mail.example.org!", "write to E!"),
    "email_closing_dot": ("foo@example.org.", "E."),
    "email_without_dot": ("foo@localhost", "foo@localhost"),
    "email_at_address": ("foo@[10.0.0.1] foo@[10.0.0.x:]", "E E"),
    "email_behind_korean": ("문의foo@example.org로", "문의foo@example.org로"),  # no word boundary before the f
    "email_from_boundary": ("문의-foo@example.org로", "문의E로"),
    "email_after_email": ("a@b.org@c.org", "E@c.org"),
    "email_with_two_dots": ("a..b@c.org", "a..E"),
    "no_local_part": (".@c.org", ".@c.org"),
    "public_ip": ("at 8.8.8.8.", "at I."),
    "private_ip": ("at 10.0.0.1 and 127.0.0.1", "at 10.0.0.1 and 127.0.0.1"),
    "out_of_range": ("1.2.3.256", "I6"),
    "leading_zero": ("01.2.3.4", "01.2.3.4"),
    "longer_number": ("1.2.3.4.5", "I.5"),
}


@pytest.mark.parametrize("case", CASES)
def test_cases(case: str) -> None:
    text, expected = CASES[case]
    assert MARKED.edit(Document(text=text)) == Document(text=expected)


def test_untouched_documents_are_returned_as_they_are() -> None:
    doc = Document(text="nothing", id="1")
    assert Pii().edit(doc) is doc


def test_an_address_gets_the_same_replacement_wherever_it_stands() -> None:
    addresses = [f"user{i}@example.com" for i in range(64)]
    alone = [Pii().mask(address) for address in addresses]
    assert set(alone) == set(Pii().emails)
    assert Pii().mask(" ".join(reversed(addresses))) == " ".join(reversed(alone))
    ips = [Pii().mask(f"8.8.{i}.8") for i in range(128)]
    assert set(ips) == set(Pii().ips)


def test_switches() -> None:
    text = "a@b.org 8.8.8.8 10.0.0.1"
    assert Pii(emails=(), ips=("I",)).mask(text) == "a@b.org I 10.0.0.1"
    assert Pii(emails=("E",), ips=()).mask(text) == "E 8.8.8.8 10.0.0.1"
    assert Pii(emails=("E",), ips=("I",), public_ips_only=False).mask(text) == "E I I"


HOSTILE = {
    "boundaries": "a!" * 500_000,
    "ats": "@" * 1_000_000,
    "pairs": "a@" * 500_000,
    "dots": "a." * 500_000 + "@",
    "labels": "@" + "a." * 500_000 + "-",
    "hyphens": "a@" + "a-" * 500_000,
    "numbers": "1." * 500_000,
    "bracket": "a@[1.1.1." + "a" * 1_000_000,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_time_is_linear_in_hostile_text(case: str) -> None:
    start = time.process_time()
    Pii().mask(HOSTILE[case])
    assert time.process_time() - start < 10  # about 1 s; quadratic time would be hours


@given(st.text() | st.from_regex(r"([a!.@\[\]0-9-]|1\.2\.3\.4|@b\.c)*"))
def test_any_text_gets_an_answer(text: str) -> None:
    masked = MARKED.mask(text)
    assert ("@" in text or "." in text) or masked == text
