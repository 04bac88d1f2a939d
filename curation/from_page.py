"""A page as a document, before anything looks for its main text."""

from dataclasses import replace

from schemas.records import Body, Document, Fault, Page


def as_document(page: Page) -> Document:
    """A page's columns as a document whose text is not known yet."""
    return Document(
        "",
        page.id,
        page.url,
        page.path,
        page.offset,
        page.dump,
        page.date,
        language=page.language,
        language_score=page.language_score,
        language_script=page.language_script,
        token_count=page.token_count,
        digest=page.digest,
        metadata=page.metadata,
    )


def plain_text(page: Page) -> Document | Fault:
    """A text page as a document, for recipes without an `extract` stage."""
    if page.body_kind is not Body.TEXT:
        return Fault("needs_extract")
    try:
        return replace(as_document(page), text=page.body.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Fault("undecodable_bytes", error.start)
