"""By which queue and which sender account a submission goes, and with which content."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from app.db.session import Session, one
from app.errors import Conflict, Forbidden, InputInvalid
from app.submission.desk import Desk, NewSender, Submitter, Words
from app.submission.schemas import Shared


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where mail goes that names this queue and this sender. `app_settings`: the app's own limits."""

    queue_id: UUID
    queue: str
    priority: int
    account_id: UUID
    is_sandbox: bool
    app_settings: dict[str, Any]


# One row: the app, the queue by name or id, the account by address. A handful of rows each.
_ROUTE = """
SELECT a.status AS app_status, a.is_sandbox, a.settings,
       q.id AS queue_id, q.name AS queue, q.priority, q.status AS queue_status,
       s.id AS account_id
FROM apps a
LEFT JOIN queues q ON q.app_id = a.id AND (q.name = %(queue)s OR q.id = %(queue_id)s)
LEFT JOIN email_accounts s ON s.app_id = a.id AND s.address = %(address)s
WHERE a.id = %(app)s
ORDER BY q.id = %(queue_id)s DESC NULLS LAST LIMIT 1"""


def routes_of(
    session: Session, who: Submitter, orders: Sequence[Shared], desk: Desk
) -> list[Route]:
    """Return the route of each order, asked once where they agree: as route_of."""
    found: dict[tuple[str, str], Route] = {}
    for order in orders:
        key = order.queue, order.sender.email
        if key not in found:
            found[key] = route_of(session, who, order, desk)
    return [found[order.queue, order.sender.email] for order in orders]


def route_of(session: Session, who: Submitter, order: Shared, desk: Desk) -> Route:
    """Return the route of a submission, its sender's account opened when there is none.

    Raises InputInvalid (queue, from), Conflict (the queue takes no more), Forbidden (the app).
    """
    binds = {
        "app": who.app_id,
        "queue": order.queue,
        "queue_id": _as_id(order.queue),
        "address": order.sender.email,
    }
    found = session.cursor(row_factory=dict_row).execute(_ROUTE, binds).fetchone()
    if found is None or found["app_status"] != "active":
        raise Forbidden(
            "This app sends nothing.",
            why="It is suspended or being deleted.",
            fix="Ask whoever runs this installation.",
        )
    _require_open(order.queue, found)
    return Route(
        queue_id=found["queue_id"],
        queue=found["queue"],
        priority=found["priority"],
        account_id=found["account_id"] or _opened(session, who, order, desk),
        is_sandbox=found["is_sandbox"],
        app_settings=found["settings"],
    )


def _require_open(wanted: str, found: dict[str, Any]) -> None:
    if found["queue_id"] is None:
        raise _no_queue(wanted)
    if found["queue_status"] == "draining":
        raise Conflict(
            f"The queue {wanted!r} takes no more mail.",
            why="It is draining: what is in it is still sent.",
            fix="Resume it, or use another queue.",
            field="queue",
        )


_QUEUE = """
SELECT id FROM queues WHERE app_id = %(app)s AND (name = %(queue)s OR id = %(id)s)
ORDER BY id = %(id)s DESC NULLS LAST LIMIT 1"""


def queue_named(session: Session, app_id: UUID, queue: str) -> UUID:
    """Return the id of a queue by its name or id; raises InputInvalid."""
    found = one(session, _QUEUE, {"app": app_id, "queue": queue, "id": _as_id(queue)})
    if found is None:
        raise _no_queue(queue)
    queue_id: UUID = found[0]
    return queue_id


def _no_queue(wanted: str) -> InputInvalid:
    return InputInvalid(
        f"There is no queue {wanted!r}.",
        why="A queue of this app is named by its name or id.",
        fix="Create it: POST /v1/queues, or leave `queue` out for the default one.",
        field="queue",
    )


def _opened(session: Session, who: Submitter, order: Shared, desk: Desk) -> UUID:
    sender = NewSender(
        app_id=who.app_id,
        address=order.sender.email,
        display_name=order.sender.name or "",
        author=who.author,
    )
    return desk.open_account(session, sender)


_TEMPLATE = """
SELECT v.id FROM templates t JOIN template_versions v ON v.template_id = t.id
WHERE t.app_id = %(app)s AND (t.name = %(name)s OR t.id = %(id)s)
  AND v.version = coalesce(%(version)s, v.version)
ORDER BY t.id = %(id)s DESC NULLS LAST, v.version DESC LIMIT 1"""


def contents_of(session: Session, app_id: UUID, orders: Sequence[Shared], desk: Desk) -> list[UUID]:
    """Return the template version each order is written from, inline contents stored.

    Raises TemplateInvalid, InputInvalid (template_id).
    """
    words = list(dict.fromkeys(_words(order) for order in orders if order.template_id is None))
    stored = dict(zip(words, desk.store_contents(session, app_id, words), strict=True))
    templates = {
        (order.template_id, order.template_version): order for order in orders if order.template_id
    }
    versions = {key: _version_of(session, app_id, order) for key, order in templates.items()}
    return [
        versions[order.template_id, order.template_version]
        if order.template_id
        else stored[_words(order)]
        for order in orders
    ]


def _words(order: Shared) -> Words:
    return order.subject or "", order.html, order.text


def _version_of(session: Session, app_id: UUID, order: Shared) -> UUID:
    binds = {
        "app": app_id,
        "name": order.template_id,
        "id": _as_id(order.template_id or ""),
        "version": order.template_version,
    }
    found = one(session, _TEMPLATE, binds)
    if found is None:
        version = f" version {order.template_version}" if order.template_version else ""
        raise InputInvalid(
            f"There is no template {order.template_id!r}{version}.",
            why="A template is named by its name or id.",
            fix="List what there is: GET /v1/templates.",
            field="template_id",
        )
    version_id: UUID = found[0]
    return version_id


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
