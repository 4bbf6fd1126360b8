"""Compiled template versions, cached: the assemble stage fills their slots, the send stage joins.

A version is immutable and compiled once per sender identity and process.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from actors import runtime
from app.assembly.compose import Compiled, Identity, compile_version
from app.assembly.draft import parse
from app.clock import monotonic_s
from app.config import settings
from app.db.session import Session
from app.errors import NotFound
from app.queueing.payloads import ChunkPayload

_MAX_AGE_S = 60.0  # an account's name and a campaign's tracking switches may change
_MOST = 512

_lock = threading.Lock()
_shelf: OrderedDict["Sheet", tuple[float, Compiled]] = OrderedDict()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Which content under which sender."""

    app_id: UUID
    template_version_id: UUID
    account_id: UUID
    campaign_id: UUID | None


def compiled(session: Session, sheet: Sheet) -> Compiled:
    """Return the compiled content of `sheet`; raises NotFound when version or account is gone."""
    now = monotonic_s()
    with _lock:
        found = _shelf.get(sheet)
        if found is not None and now - found[0] < _MAX_AGE_S:
            _shelf.move_to_end(sheet)
            return found[1]
    made = _compile(session, sheet)
    with _lock:
        _shelf[sheet] = (now, made)
        while len(_shelf) > _MOST:
            _shelf.popitem(last=False)
    return made


_SHEET = """
SELECT v.subject, v.html, v.body_text, a.address, a.display_name, a.reply_to,
       coalesce(c.tracks_opens, true), coalesce(c.tracks_clicks, true)
FROM template_versions v
JOIN email_accounts a ON a.id = %(account)s AND a.app_id = v.app_id
LEFT JOIN campaigns c ON c.id = %(campaign)s
WHERE v.id = %(version)s AND v.app_id = %(app)s"""


def sheet_of(chunk: ChunkPayload) -> Sheet:
    """Return which content a chunk's mails have."""
    return Sheet(
        app_id=chunk.app_id,
        template_version_id=chunk.template_version_id,
        account_id=chunk.account_id,
        campaign_id=chunk.campaign_id,
    )


def _compile(session: Session, sheet: Sheet) -> Compiled:
    binds = {
        "account": sheet.account_id,
        "campaign": sheet.campaign_id,
        "version": sheet.template_version_id,
        "app": sheet.app_id,
    }
    row = session.execute(_SHEET, binds).fetchone()
    if row is None:
        raise NotFound(
            f"Template version {sheet.template_version_id} or account {sheet.account_id} is gone.",
            why="It was deleted while its mail was on the way.",
            fix="Cancel the mail or restore what was deleted.",
        )
    keys = runtime.token_keys()
    identity = Identity(
        from_address=row[3],
        from_name=row[4] or None,
        reply_to=row[5],
        tracking_url=settings().tracking_url,
        message_id_domain=row[3].rpartition("@")[2],
        track_opens=row[6],
        track_clicks=row[7],
        unsubscribe=True,
        link_token=lambda url, number: keys.link_token(url, number, sheet.app_id),
    )
    return compile_version(parse(row[0], row[1] or None, row[2] or None), identity)
