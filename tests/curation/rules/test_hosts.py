import pytest

from curation.rules.hosts import Host, host_of, split_host

HOSTS = {
    "": "",
    "https://a.org": "a.org",
    "//a.org/x": "a.org",
    "a.org/x": "a.org",
    "a.org?x=//b.org": "a.org",
    "mailto:x": "mailto",
    "https://u:p@a.org:80/": "a.org",
    "https://u@b@a.org/": "a.org",
    "https://a.org./": "a.org",
    "https://a.org。": "a.org",
    "https://[::1]:80/": "[::1]",
    "https://[::1": "[",
    "not a scheme://a.org": "not a scheme",
    "https:// a.org /": "a.org",
    "https://A.Org#x": "A.Org",
}


@pytest.mark.parametrize("url", HOSTS)
def test_host_of(url: str) -> None:
    assert host_of(url) == HOSTS[url]


SPLIT = {
    "": ("", ""),
    "com": ("", ""),
    "localhost": ("", ""),
    "10.1.2.3": ("", ""),
    "[::1]": ("", ""),
    "a.com": ("a.com", "a.com"),
    "b.a.com": ("a.com", "b.a.com"),
    "c.b.a.co.uk": ("a.co.uk", "c.b.a.co.uk"),
    "co.uk": ("", ""),
    "x.blogspot.com": ("blogspot.com", "x.blogspot.com"),  # a private suffix does not count
    "ck": ("", ""),
    "a.ck": ("", ""),  # *.ck
    "b.a.ck": ("b.a.ck", "b.a.ck"),
    "www.ck": ("www.ck", "www.ck"),  # !www.ck
    "a.www.ck": ("www.ck", "a.www.ck"),
    "a.рф": ("a.рф", "a.рф"),
    "a.xn--p1ai": ("a.xn--p1ai", "a.xn--p1ai"),
    "A.COM": ("A.COM", "A.COM"),
    ".a.com": ("a.com", "a.com"),
    "b..com": ("", ""),
    "b。a．com": ("a.com", "b.a.com"),
}


@pytest.mark.parametrize("host", SPLIT)
def test_split_host(host: str) -> None:
    assert split_host(host) == Host(*SPLIT[host])
