"""Letters: compiled contents under one header. Assemble fills their slots, send joins them; cached.

A version's body is compiled once per process and way of tracking, however many messages carry it:
what a submitted message adds (header, files) takes microseconds.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from actors import runtime
from app.assembly.compose import Body, Compiled, compile_body
from app.assembly.draft import parse
from app.assembly.expiry import IS_WHOLE_SQL
from app.assembly.heading import Identity, Mailbox
from app.clock import monotonic_s
from app.config import settings
from app.db.session import Session
from app.errors import NotFound
from app.mail.attachments import AttachedFile
from app.mail.echo import echo_of
from app.queueing.payloads import ChunkPayload

_MAX_AGE_S = 60.0  # an account's name and a campaign's tracking switches may change
_MOST_LETTERS = 512
_MOST_BODIES = 256
_KEPT_BYTES = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Which content under which header."""

    app_id: UUID
    template_version_id: UUID
    account_id: UUID
    campaign_id: UUID | None
    message_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a chunk's mails share. `files` are ids of attachments, by the numbers in the tail.

    `is_simulated`: the mail goes all the way, but for the SMTP server. `keeps_content`: what was
    sent stays readable. `codes_replies`: each mail has a Reply-To of its own.
    """

    compiled: Compiled
    files: tuple[UUID, ...]
    is_simulated: bool
    keeps_content: bool
    codes_replies: bool = False
    bodies: tuple[bytes, ...] = ()

    def render(self, slots: Sequence[str], date: str) -> bytes:
        """Return one mail, its files included; the send stage has fetched their `bodies`."""
        if not self.files:
            return self.compiled.join(slots, date)
        return self.compiled.whole(slots, date, self.bodies)

    def copy(self, slots: Sequence[str], date: str) -> bytes:
        """Return one mail as it is kept: large files are empty in it."""
        if sum(map(len, self.bodies)) <= _KEPT_BYTES:
            return self.render(slots, date)
        return self.compiled.whole(slots, date, [b""] * len(self.bodies))


_Way = tuple[UUID, UUID, bool, bool]

_lock = threading.Lock()
_letters: OrderedDict[Sheet, tuple[float, Letter]] = OrderedDict()
_bodies: OrderedDict[_Way, Body] = OrderedDict()


def sheet_of(chunk: ChunkPayload) -> Sheet:
    """Return which content a chunk's mails have."""
    return Sheet(
        app_id=chunk.app_id,
        template_version_id=chunk.template_version_id,
        account_id=chunk.account_id,
        campaign_id=chunk.campaign_id,
        message_id=chunk.message_id,
    )


def letter(session: Session, sheet: Sheet) -> Letter:
    """Return the letter of `sheet`; raises NotFound when what it is made of is gone."""
    now = monotonic_s()
    with _lock:
        found = _letters.get(sheet)
        if found is not None and now - found[0] < _MAX_AGE_S:
            _letters.move_to_end(sheet)
            return found[1]
    made = _written(session, sheet)
    with _lock:
        _letters[sheet] = (now, made)
        while len(_letters) > _MOST_LETTERS:
            _letters.popitem(last=False)
    return made


# A campaign's mail has no message: it is tracked as its campaign says and can be unsubscribed from.
_HEADER = """
SELECT a.address, a.display_name, a.reply_to, a.codes_replies, apps.keeps_content,
       apps.is_sandbox OR coalesce(m.is_simulated, false) AS is_simulated,
       coalesce(m.tracks_opens, c.tracks_opens, true) AS track_opens,
       coalesce(m.tracks_clicks, c.tracks_clicks, true) AS track_clicks,
       coalesce(m.unsubscribe, true) AS unsubscribe,
       coalesce(m.addressing, '{}') AS addressing, coalesce(m.headers, '{}') AS headers,
       coalesce(m.recipients, 0) AS recipients, s.host,
       ARRAY(SELECT jsonb_build_array(f.attachment_id, f.filename, t.content_type, t.size_bytes,
                                      f.content_id, f.is_inline)
             FROM message_attachments f JOIN attachments t ON t.id = f.attachment_id
             WHERE f.message_id = m.id ORDER BY f.position) AS files
FROM email_accounts a JOIN apps ON apps.id = a.app_id
JOIN smtp_configs s ON s.id = a.smtp_config_id
LEFT JOIN campaigns c ON c.id = %(campaign)s
LEFT JOIN messages m ON m.id = %(message)s AND m.app_id = a.app_id
WHERE a.id = %(account)s AND a.app_id = %(app)s
  AND (%(message)s::uuid IS NULL OR m.id IS NOT NULL)"""


def _written(session: Session, sheet: Sheet) -> Letter:
    binds = {
        "account": sheet.account_id,
        "campaign": sheet.campaign_id,
        "message": sheet.message_id,
        "app": sheet.app_id,
    }
    row = session.cursor(row_factory=dict_row).execute(_HEADER, binds).fetchone()
    if row is None:
        raise _gone(f"Account {sheet.account_id} or message {sheet.message_id}")
    identity = _identity(sheet, row)
    body = _body(session, sheet, identity)
    return Letter(
        compiled=Compiled(body, identity, [_file(*file) for file in row["files"]]),
        files=tuple(UUID(file[0]) for file in row["files"]),
        is_simulated=row["is_simulated"],
        keeps_content=row["keeps_content"],
        codes_replies=_codes_replies(row),
    )


def _codes_replies(row: Mapping[str, Any]) -> bool:
    """Tell whether answers come to the inbound domain: as the account wants, unless the message says."""
    is_told = bool(row["addressing"].get("reply_to"))
    return row["codes_replies"] and not is_told and runtime.coded_domain() is not None


def _identity(sheet: Sheet, row: Mapping[str, Any]) -> Identity:
    keys, seen = runtime.token_keys(), row["addressing"]
    to, cc = _people(seen.get("to")), _people(seen.get("cc"))
    if row["recipients"] == 1 and len(to) <= 1 and not cc:
        to = ()  # the one recipient, who stands in the e-mail: schedule joins such messages
    return Identity(
        from_address=row["address"],
        from_name=seen.get("from_name") or row["display_name"] or None,
        reply_to=() if _codes_replies(row) else _replies(row),
        to=to,
        cc=cc,
        headers=tuple(row["headers"].items()),
        echo=echo_of(row["host"]),
        tracking_url=settings().tracking_url,
        message_id_domain=row["address"].rpartition("@")[2],
        track_opens=row["track_opens"],
        track_clicks=row["track_clicks"],
        unsubscribe=row["unsubscribe"],
        link_token=lambda url, number: keys.link_token(url, number, sheet.app_id),
    )


def _replies(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row["addressing"].get("reply_to") or filter(None, [row["reply_to"]]))


def _people(listed: Sequence[Mapping[str, str | None]] | None) -> tuple[Mailbox, ...]:
    return tuple((person.get("name"), str(person["email"])) for person in listed or ())


def _file(_id: str, filename: str, content_type: str, size_bytes: int, *place: Any) -> AttachedFile:
    content_id, is_inline = place
    return AttachedFile(
        filename=filename,
        content_type=content_type,
        size_bytes=size_bytes,
        content_id=content_id,
        is_inline=is_inline,
    )


def _body(session: Session, sheet: Sheet, identity: Identity) -> Body:
    version_id = sheet.template_version_id
    way = (sheet.app_id, version_id, identity.track_opens, identity.track_clicks)
    with _lock:
        found = _bodies.get(way)
        if found is not None:
            _bodies.move_to_end(way)
            return found
    row = session.execute(
        "SELECT v.subject, v.html, v.body_text FROM template_versions v "  # noqa: S608 - a constant
        f"WHERE v.id = %s AND v.app_id = %s AND {IS_WHOLE_SQL}",
        (version_id, sheet.app_id),
    ).fetchone()
    if row is None:
        raise _gone(f"Template version {version_id}")
    made = compile_body(parse(row[0], row[1] or None, row[2] or None), identity)
    with _lock:
        _bodies[way] = made
        while len(_bodies) > _MOST_BODIES:
            _bodies.popitem(last=False)
    return made


def _gone(what: str) -> NotFound:
    return NotFound(
        f"{what} is gone.",
        why="It was deleted while its mail was on the way.",
        fix="Cancel the mail or restore what was deleted.",
    )
