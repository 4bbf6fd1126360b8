"""The states of an e-mail and the moves between them (DESIGN section 6). Pure.

One row = one envelope recipient. `sent` = accepted by the SMTP server; `delivered`, `bounced` and
`complained` only on evidence that comes later.
"""

from enum import StrEnum


class State(StrEnum):
    """Where an e-mail is."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"


WAITING = frozenset({State.SCHEDULED, State.QUEUED, State.SENDING})
ACCEPTED = frozenset({State.SENT, State.DELIVERED, State.BOUNCED, State.COMPLAINED})
STOPPED = frozenset({State.CANCELLED, State.SUPPRESSED, State.EXPIRED, State.FAILED})

_STOPPABLE = frozenset({State.SCHEDULED, State.QUEUED})

# Which states a move may start from. `sending -> scheduled` is a deferral or a mail proved untried;
# `scheduled, queued -> sent` is the answer of a server that came after the decision to resend.
SOURCES: dict[State, frozenset[State]] = {
    State.SCHEDULED: frozenset({State.QUEUED, State.SENDING, State.UNKNOWN}),
    State.QUEUED: frozenset({State.SCHEDULED}),
    State.SENDING: frozenset({State.QUEUED}),
    State.SENT: frozenset({State.SENDING, State.UNKNOWN, State.SCHEDULED, State.QUEUED}),
    State.DELIVERED: frozenset({State.SENT, State.UNKNOWN}),
    State.BOUNCED: frozenset({State.SENT, State.DELIVERED, State.UNKNOWN}),
    State.COMPLAINED: frozenset({State.SENT, State.DELIVERED, State.BOUNCED, State.UNKNOWN}),
    State.FAILED: frozenset({State.QUEUED, State.SENDING, State.SCHEDULED, State.UNKNOWN}),
    State.UNKNOWN: frozenset({State.SENDING}),
    State.CANCELLED: _STOPPABLE,
    State.SUPPRESSED: _STOPPABLE,
    State.EXPIRED: _STOPPABLE,
}

# What only a person may do besides: let a mail that failed for want of attempts try once more.
REVIVABLE = frozenset({State.FAILED})


def may_move(source: State, target: State) -> bool:
    """Tell whether an e-mail in `source` may become `target`."""
    return source in SOURCES[target]
