"""Which gate kept mails back, counted by minute: an event for each wait would cost more than a mail.

A mail's row says what it waits for now, and `explain` asks every gate anew. What is kept of waits
that are over is one counter per hold-back, its dimensions, gate and version of these words:
`held.account_hour.1`. Pure.
"""

RULES = 1

PREFIX = "held."
# The first words of the reason a row keeps; a limit's reason names the limit.
_LIMIT = "limit "
_GATES = {
    "the account is held": "reputation",
    "the app is held": "reputation",
    "campaign paused": "campaign",
    "outside the sending window": "window",
    "released too late": "window",
    "sending is quarantined": "restore",
    "the account, its queue or its app is paused": "pause",
    "the SMTP server is slow": "slow_server",
    "SMTP server": "breaker",
    "breaker of": "breaker",
    "limits changed": "limits_changed",
}


def kind_of(reason: str) -> str:
    """Return the counter of a hold-back with this reason."""
    if reason.startswith(_LIMIT):
        gate = reason.removeprefix(_LIMIT).partition(" ")[0]
    else:
        gate = next((gate for words, gate in _GATES.items() if reason.startswith(words)), "other")
    return f"{PREFIX}{gate}.{RULES}"
