"""What a submission is taken with: who submits, and what other rooms do for it.

Rooms never import each other, so whoever joins them (the API's edge) hands over what is needed of
assembly and tenancy as functions.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from app.audit import Author
from app.db.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitter:
    """Who submits and when. `is_simulated`: a test key or a sandbox app, nothing leaves.

    `now` is when the request came, UTC.
    """

    app_id: UUID
    author: Author
    now: dt.datetime
    is_simulated: bool = False
    idempotency_key: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSender:
    """A sender address no account stands for yet."""

    app_id: UUID
    address: str
    display_name: str
    author: Author


StoreContent = Callable[[Session, UUID, str, str | None, str | None], UUID]
OpenAccount = Callable[[Session, NewSender], UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What other rooms do: store content (app, subject, html, text), open an account for a sender.

    `open_account` raises InputInvalid when the address may not send. `pepper` keys address hashes.
    """

    store_content: StoreContent
    open_account: OpenAccount
    pepper: str
