"""What the clients of remote stores raise.

To import the clients takes half a second. So nobody imports this module at their top: who only has local files, as a
child in which pages are touched, does without.
"""

import http.client

import aiohttp
import botocore.exceptions
import requests
import urllib3

from storage.errors import UnreachedError

ERRORS = (
    http.client.HTTPException,
    urllib3.exceptions.HTTPError,
    aiohttp.ClientError,
    botocore.exceptions.BotoCoreError,
)
"""Whatever went wrong; an OSError it may be besides."""

NO_CREDENTIALS = botocore.exceptions.NoCredentialsError
"""One of `ERRORS`."""

NETWORK = (
    TimeoutError,
    ConnectionError,
    requests.ConnectionError,
    requests.Timeout,
    http.client.IncompleteRead,
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.TimeoutError,
    aiohttp.ClientError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
)
"""The connection's fault, unless it is one of `FINAL`."""

FINAL = (requests.exceptions.SSLError, FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError)
"""The same at every try."""

UNREACHED = (UnreachedError, botocore.exceptions.EndpointConnectionError)
"""No connection came about."""
