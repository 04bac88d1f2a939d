"""Byte ranges over HTTP(S), by `requests`: statuses and headers stay visible, which fsspec's client hides."""

import email.utils
import importlib.metadata
import os
import re
import threading
import time

import requests
import urllib3

from storage import stores
from storage.errors import MissingError, PathError, StatusError, StorageError, UnreachedError

TIMEOUT_S = (10.0, 60.0)
"""Seconds to connect, and seconds of silence."""
_SKIP = 16 * 2**20  # bytes read and thrown away where a server does not serve ranges
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_LOCAL = threading.local()


class HttpStream:
    """One answer's body, a `storage.resume.RangeStream`."""

    def __init__(self, response: requests.Response, total: int | None) -> None:
        self._response = response
        self.total = total
        head = response.headers
        self.etag = head.get("ETag", "").strip('"') or head.get("Last-Modified", "")

    def read(self, size: int) -> bytes:
        """Up to `size` bytes as they came, content encodings left on."""
        raw: urllib3.HTTPResponse = self._response.raw
        return raw.read(size, decode_content=False)

    def close(self) -> None:
        """Gives the connection back, or drops it where bytes are left."""
        self._response.close()


def open_range(url: str, start: int, stop: int | None = None) -> HttpStream:
    """Asks for bytes [start, stop) of `url`, to its end without `stop`. One request, no second try.

    Raises:
        MissingError: 404 or 410.
        StatusError: Any other answer that is not the range.
        StorageError: The server has no ranges and `start` is too far in to skip.
        PathError: It is no URL.
        UnreachedError: No connection came about.
        requests.RequestException: No answer.
    """
    last = "" if stop is None else str(stop - 1)
    head = {"Range": f"bytes={start}-{last}", "Accept-Encoding": "identity"}
    try:
        response = _session().get(url, headers=head, stream=True, timeout=TIMEOUT_S)
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise PathError(f"{url!r} is no URL ({error}); check it") from error
    except requests.ConnectionError as error:
        if why := _unreached(error):
            raise UnreachedError(f"{stores.server(url)} {why}") from error
        raise
    try:
        return _checked(response, url, start)
    except (OSError, urllib3.exceptions.HTTPError):
        response.close()
        raise


def _unreached(error: requests.ConnectionError) -> str:
    """Why no connection came about, to be read behind the server's name; empty where one did."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)  # of urllib3's MaxRetryError
    if isinstance(error, requests.exceptions.ProxyError):
        return f"is to be reached by a proxy, which failed ({reason})"
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return "has a name that can't be resolved"
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        cause = reason.__cause__
        return "refused the connection" if isinstance(cause, ConnectionRefusedError) else f"can't be reached ({cause})"
    if isinstance(reason, urllib3.exceptions.ConnectTimeoutError):
        return f"let no connection come about within {TIMEOUT_S[0]:.0f} s"
    return ""


def _checked(response: requests.Response, url: str, start: int) -> HttpStream:
    status = response.status_code
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    total = int(found[3]) if found and found[3] != "*" else None
    if status == 206 and found and found[1] is not None and int(found[1]) == start:
        return HttpStream(response, total)
    if status == 416 and total is not None and start >= total:
        return HttpStream(response, total)
    if status == 200:
        length = response.headers.get("Content-Length", "")
        stream = HttpStream(response, int(length) if length.isdigit() else None)
        _skip(stream, url, start)
        return stream
    if status in (404, 410):
        raise MissingError(f"no such file: {url!r} (HTTP {status}); check the URL")
    told = f"HTTP {status} {response.reason} for bytes from {start:,} of {url!r}"
    if status == 206:
        told += f" with the Content-Range {response.headers.get('Content-Range', '')!r}"
    raise StatusError(told, status, _retry_after_s(response))


def _skip(stream: HttpStream, url: str, start: int) -> None:
    if start > _SKIP:
        raise StorageError(
            f"the server of {url!r} does not serve byte ranges, and byte {start:,} is too far in to read up to; "
            "download the file and give its local path"
        )
    left = start
    while left:
        data = stream.read(min(left, 2**20))
        if not data:
            return
        left -= len(data)


def _retry_after_s(response: requests.Response) -> float | None:
    """Retry-After in seconds; it is a number of them or an HTTP date (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _session() -> requests.Session:
    """One a thread and process: sessions are neither thread-safe nor sound after a fork."""
    if getattr(_LOCAL, "pid", None) != os.getpid():
        session = requests.Session()
        session.headers["User-Agent"] = f"gristmill/{_version()} python-requests/{requests.__version__}"
        _LOCAL.session, _LOCAL.pid = session, os.getpid()
    held: requests.Session = _LOCAL.session
    return held


def close() -> None:
    """Closes this thread's idle connections."""
    if getattr(_LOCAL, "pid", None) == os.getpid():
        _LOCAL.session.close()


def _version() -> str:
    try:
        return importlib.metadata.version("gristmill")
    except importlib.metadata.PackageNotFoundError:
        return "dev"
