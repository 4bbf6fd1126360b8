"""What a webhook can be told: seed 003's words and those that complete an e-mail's life. Pure."""

from enum import StrEnum


class Event(StrEnum):
    """One kind of news of an e-mail; TEST is sent on demand and cannot be chosen.

    REPUTATION is about a sender or a campaign: warned, slowed, held, released, braked.
    """

    QUEUED = "queued"
    PROCESSING = "processing"
    SENT = "sent"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"
    REPLIED = "replied"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REPUTATION = "reputation"


TEST = "test"
