"""From a record to a page: which records are pages, and what of them a page keeps."""

import re

from curation.readers.records import Record
from schemas.records import Body, Fault, Page
from schemas.tasks import Format, Source

PAGE_KINDS = frozenset({"response", "resource", "conversion"})
OTHER_KINDS = frozenset({"warcinfo", "request", "metadata", "revisit", "continuation", "filedesc"})
_HTTP_HEAD = 65536
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_CONTENT_TYPE = re.compile(rb"^content-type[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


def skipped_kind(record: Record) -> str:
    """The kind under which a record that is no page is counted; empty for a page.

    What can't be known to be no page counts as one, so that nothing is lost without a row.
    """
    kind = record.head.kind if record.head else ""
    if not kind or kind in PAGE_KINDS:
        return ""
    return kind if kind in OTHER_KINDS else "other"


def to_page(record: Record, offset: int, source: Source) -> Page:
    """The page that a record is.

    Args:
      record: one for which `skipped_kind` is empty.
      offset: where it lies in the file.
      source: the file.
    """
    head, fault = record.head, record.fault
    place = f"{source.name}@{offset}"
    if head is None or not head.kind:
        fault = fault or Fault("unreadable_record", len(record.body))
        return Page(place, "", source.name, offset, source.dump, body_kind=Body.NONE, fault=fault)
    kind, content_type = Body.NONE, ""
    if fault is None:
        kind, content_type, fault = _body(record, source.format)
    return Page(
        id=head.id or place,
        url=head.url,
        path=source.name,
        offset=offset,
        dump=source.dump,
        date=head.date,
        body_kind=kind,
        body=b"" if fault else record.body,
        content_type=content_type,
        digest=head.digest,
        fault=fault,
        metadata={"warc_truncated": head.truncated} if head.truncated else {},
    )


def _body(record: Record, form: Format) -> tuple[Body, str, Fault | None]:
    """What the block is, and of which content type."""
    assert record.head is not None, "a record without a head has a fault"
    declared = record.head.content_type
    media = declared.partition(";")[0].strip().lower()
    starts_http = record.body[:5] == b"HTTP/"
    if form is Format.ARC:
        http = starts_http
    elif record.head.kind == "response":
        http = media == "application/http" or (not media and starts_http)
    else:
        http = False
    if http:
        return Body.HTTP, http_content_type(record.body), None
    if record.head.kind == "conversion" and media in ("text/plain", ""):
        try:
            record.body.decode()
        except UnicodeDecodeError as error:
            return Body.NONE, declared, Fault("invalid_utf8", error.start, len(record.body))
        return Body.TEXT, declared, None
    return Body.RESOURCE, declared, None


def http_content_type(block: bytes) -> str:
    """The first Content-Type field of an HTTP message's head, empty where it has none."""
    end = _HEAD_END.search(block, 0, _HTTP_HEAD)
    match = _CONTENT_TYPE.search(block, 0, end.start() if end else _HTTP_HEAD)
    return match[1].decode("latin-1").strip() if match else ""
