"""Where contents are stored: immutable template versions, and where their links lead.

A template's version belongs to it; a one-off body (transactional HTML) is a version without a
template, found by its hash, so that the same content is stored, parsed and compiled once.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.assembly import draft, links
from app.db.session import Session, one
from app.errors import NotFound
from app.ids import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a mail says. One of `html` and `text` may be absent."""

    subject: str
    html: str | None = None
    text: str | None = None

    @property
    def hash(self) -> bytes:
        """32 bytes that name this content."""
        digest = hashlib.sha256()
        for part in (self.subject, self.html or "", self.text or ""):
            encoded = part.encode("utf-8", "replace")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        return digest.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A version to be stored; `template_id` None for a one-off. `parsed` is its content, accepted."""

    id: UUID
    app_id: UUID
    template_id: UUID | None
    version: int
    content: Content
    parsed: draft.Draft


# Subject, HTML and text as somebody submitted them.
Words = tuple[str, str | None, str | None]

# Held until the message that needs it is there: retention blanks what nothing young refers to.
_FIND = """
SELECT content_hash, id FROM template_versions
WHERE app_id = %(app)s AND content_hash = ANY(%(hashes)s) AND template_id IS NULL
ORDER BY content_hash FOR KEY SHARE"""


def version_for(
    session: Session, app_id: UUID, subject: str, html: str | None, text: str | None
) -> UUID:
    """Return the version of one content: as versions_for."""
    return versions_for(session, app_id, [(subject, html, text)])[0]


def versions_for(session: Session, app_id: UUID, submitted: Sequence[Words]) -> list[UUID]:
    """Return the versions of these very contents that belong to no template, new ones stored.

    Contents that are known cost one look-up (index template_versions_one_off) and are not parsed.
    Raises TemplateInvalid with every problem of a content; the transaction is to be left then.
    """
    contents = [
        Content(subject=draft.clean(subject), html=draft.given(html), text=draft.given(text))
        for subject, html, text in submitted
    ]
    hashes = [content.hash for content in contents]
    known = _known(session, app_id, hashes)
    missing = {h: c for h, c in zip(hashes, contents, strict=True) if h not in known}
    # All are judged before one is stored; in the order of their key, or two could wait crosswise.
    for new in [_one_off(app_id, missing[digest]) for digest in sorted(missing)]:
        if store(session, new):
            known[new.content.hash] = new.id
    # Somebody else may have stored the same meanwhile.
    known |= _known(session, app_id, [digest for digest in missing if digest not in known])
    if any(digest not in known for digest in hashes):
        raise NotFound("The content was deleted while it was stored.", fix="Try again.")
    return [known[digest] for digest in hashes]


def _known(session: Session, app_id: UUID, hashes: Sequence[bytes]) -> dict[bytes, UUID]:
    if not hashes:
        return {}
    found = session.execute(_FIND, {"app": app_id, "hashes": sorted(set(hashes))}).fetchall()
    return {bytes(digest): version_id for digest, version_id in found}


def _one_off(app_id: UUID, content: Content) -> NewVersion:
    return NewVersion(
        id=new_id(),
        app_id=app_id,
        template_id=None,
        version=1,
        content=content,
        parsed=draft.parse(content.subject, content.html, content.text),
    )


# Version and links in one statement: no other transaction sees one without the other.
_STORE = """
WITH version AS (
  INSERT INTO template_versions
    (id, app_id, template_id, version, subject, html, body_text, variables, content_hash)
  VALUES (%(id)s, %(app)s, %(template)s, %(version)s, %(subject)s, %(html)s, %(text)s,
          %(variables)s, %(hash)s)
  ON CONFLICT (app_id, content_hash) WHERE template_id IS NULL DO NOTHING RETURNING id, app_id),
links AS (
  INSERT INTO tracking_links (id, app_id, template_version_id, position, destination)
  SELECT l.id, version.app_id, version.id, l.position, l.destination
  FROM version, unnest(%(link_ids)s::uuid[], %(positions)s::int[], %(destinations)s::text[])
       AS l(id, position, destination))
SELECT id FROM version"""


def store(session: Session, new: NewVersion) -> bool:
    """Store a version and where its links lead; tell whether it was not there before."""
    content = new.content
    numbered = links.numbered(new.parsed.html or "")
    binds = {
        "id": new.id,
        "app": new.app_id,
        "template": new.template_id,
        "version": new.version,
        "subject": content.subject,
        "html": content.html or "",
        "text": content.text or "",
        "variables": list(new.parsed.variables),
        "hash": content.hash,
        "link_ids": [new_id() for _ in numbered],
        "positions": [number for number, _ in numbered],
        "destinations": [destination for _, destination in numbered],
    }
    return one(session, _STORE, binds) is not None
