"""Noting what webhooks are to be told, in the statement that makes it true (the row is the outbox).

A note is written only for apps that have an endpoint: for the others a statement pays one look at
a small table, not a row per mail. app/webhooks/fanout takes the notes and makes deliveries of them.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from app.db.session import Session

# Lines of a timeline that are told as they are; the others follow from a move or are ours alone.
TOLD = ("delivered", "bounced", "complained", "opened", "clicked", "unsubscribed", "replied")

_LISTENING = "ARRAY(SELECT app_id FROM webhook_endpoints WHERE status <> 'disabled')"


def note(source: str, event: str, *, data: str = "'{}'::jsonb", email_id: str = "id") -> str:
    """Return the INSERT of a CTE: one note for each row of `source`, which has id and app_id.

    `event` and `data` are expressions over that row; no note where `event` is NULL.
    """
    return f"""INSERT INTO webhook_events (app_id, email_id, event, data)
  SELECT app_id, {email_id}, {event}, {data} FROM {source}
  WHERE app_id = ANY({_LISTENING}) AND {event} IS NOT NULL"""  # noqa: S608 - constants


# News of a sender or a campaign, not of one mail.
REPUTATION = "reputation"

_TELL = f"""
WITH u AS (SELECT %(app)s::uuid AS app_id, NULL::uuid AS id)
{note("u", "%(event)s::text", data="%(data)s::jsonb")}"""


def tell(session: Session, app_id: UUID, event: str, data: Mapping[str, Any]) -> None:
    """Note news that are about no single mail, for an app that has an endpoint."""
    session.execute(_TELL, {"app": app_id, "event": event, "data": Jsonb(dict(data))})
