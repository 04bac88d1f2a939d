"""Files over HTTP(S): which paths they are, and opening them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.http_client import HttpStream


def is_http(path: str) -> bool:
    """Whether this module reads it."""
    return path.lower().startswith(("http://", "https://"))


def open_range(url: str, start: int, stop: int | None = None) -> "HttpStream":
    """See `storage.http_client.open_range`; the client is loaded with the first URL: local files need none."""
    from storage import http_client

    return http_client.open_range(url, start, stop)
