"""`/v1/email-accounts/{id}/mailbox`: where a sender's answers arrive. A password never comes out."""

import dataclasses
import datetime as dt
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.api.call import Call
from app.api.endpoint import Routes, Unit
from app.api.forms import Given, View, secret_box
from app.api.probing import FAILED, Probed, probed, require_port, words_for
from app.errors import InputInvalid
from app.feedback import polls
from app.feedback.polls import MailboxState
from app.imap.opening import Opening
from app.smtp.connection import Security
from app.smtp.probe import walk
from app.tenancy import mailboxes
from app.tenancy.mailboxes import Mailbox
from app.tenancy.scopes import Scope

routes = Routes("mailboxes", about="Where a sender's answers arrive, read over IMAP.")

_PORTS = (143, 993)
_PLACE = ("host", "port", "security", "username")
_TEST_S = 60.0
_FAILED = {
    **FAILED,
    "banner": "The server did not greet as an IMAP server does.",
    "folder": "There is no such folder, or it may not be read.",
    "read": "The server did not hand out the mails.",
    "password": "The password cannot be opened: set it again.",
}

Host = Annotated[str, Field(min_length=1, max_length=253)]
Port = Annotated[int, Field(ge=1, le=65_535, description="993 or 143.")]
Word = Annotated[str, Field(min_length=1, max_length=500)]
Interval = Annotated[
    int, Field(ge=10, le=86_400, description="Time between two looks into the mailbox.")
]


class Encryption(StrEnum):
    """How the connection is protected; a password is never sent in clear."""

    TLS = "tls"
    STARTTLS = "starttls"


class MailboxStatus(StrEnum):
    """Whether the mailbox is looked into."""

    ACTIVE = "active"
    PAUSED = "paused"


class MailboxBody(Given):
    """Where the answers arrive. Without a password the one it has is kept, in the same place."""

    host: Host
    username: Word
    password: Word | None = None
    port: Port = 993
    security: Encryption = Encryption.TLS
    folder: Word = "INBOX"
    interval_s: Interval = 60
    status: MailboxStatus = MailboxStatus.ACTIVE


class MailboxView(View):
    """A mailbox as it stands, without its password, and how looking into it goes.

    `problem` is null while it works; with each failure it is looked into less often, up to hourly.
    """

    account_id: UUID
    host: str
    port: int
    security: Encryption
    username: str
    folder: str
    interval_s: int
    status: MailboxStatus
    read_at: dt.datetime | None
    next_at: dt.datetime | None
    failures: int
    failing_since: dt.datetime | None
    failed_step: str | None
    problem: str | None
    created_at: dt.datetime


@routes.put("/v1/email-accounts/{account_id}/mailbox", needs=Scope.SMTP_MANAGE)
def set_mailbox(call: Call, account_id: UUID, body: MailboxBody) -> MailboxView:
    """Set where a sender's answers arrive; try it with its test.

    Another host or login needs the password again: it is not sent to where it was not.
    """
    require_port(call, body.port, _PORTS)
    box = secret_box(call.settings)
    found = mailboxes.find(call.session, box, call.app_id, account_id)
    fields = body.model_dump() | {"security": Security(body.security)}
    if body.password is None:
        if found is None or any(getattr(found, name) != fields[name] for name in _PLACE):
            raise InputInvalid(
                "The mailbox's password is needed.",
                why="A password is only sent where it was meant to.",
                fix="Send it together with host and username.",
                field="/password",
            )
        fields["password"] = found.password
    wanted = Mailbox(app_id=call.app_id, account_id=account_id, **fields)
    return _view(call, mailboxes.put(call.session, box, wanted, call.author))


@routes.get("/v1/email-accounts/{account_id}/mailbox", needs=Scope.SMTP_MANAGE)
def get_mailbox(call: Call, account_id: UUID) -> MailboxView:
    """Show where a sender's answers arrive, and how reading them goes."""
    return _view(call, _get(call, account_id))


@routes.delete("/v1/email-accounts/{account_id}/mailbox", needs=Scope.SMTP_MANAGE)
def delete_mailbox(call: Call, account_id: UUID) -> None:
    """Look into a mailbox no more, and forget its password."""
    mailboxes.delete(call.session, _get(call, account_id), call.author)


@routes.post("/v1/email-accounts/{account_id}/mailbox/test", needs=Scope.SMTP_MANAGE, unit=Unit.OWN)
def test_mailbox(call: Call, account_id: UUID) -> Probed:
    """Connect, encrypt, log in and open the folder, step by step; reads no mail."""
    with call.tenant():
        mailbox = _get(call, account_id)
    server = mailbox.server(call.settings.smtp_allowed_networks)
    opening = Opening(server, mailbox.folder, _TEST_S)
    return probed(call, walk(opening, opening.steps()), _FAILED)


def _get(call: Call, account_id: UUID) -> Mailbox:
    return mailboxes.get(call.session, secret_box(call.settings), call.app_id, account_id)


def _view(call: Call, mailbox: Mailbox) -> MailboxView:
    state = polls.state(call.session, mailbox.app_id, mailbox.account_id)
    fields = dataclasses.asdict(mailbox)
    for unsaid in ("app_id", "password"):
        del fields[unsaid]
    fields["security"] = Encryption(mailbox.security)
    return MailboxView(**fields | _said(call, state))


def _said(call: Call, state: MailboxState | None) -> dict[str, object]:
    """Return how reading goes; only the operator reads the server's own words."""
    if state is None:
        nothing = ("read_at", "next_at", "failing_since", "failed_step", "problem")
        return {"failures": 0, **dict.fromkeys(nothing)}
    step = state.failed_step
    words = None if step is None else words_for(step, _FAILED)
    return {
        "read_at": state.read_at,
        "next_at": state.due_at,
        "failures": state.failures,
        "failing_since": state.failing_since,
        "failed_step": step,
        "problem": state.problem if call.caller.is_operator else words,
    }
