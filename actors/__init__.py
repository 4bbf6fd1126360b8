"""The pipeline: `dramatiq actors` runs every stage, `dramatiq actors -Q send.high` any part.

schedule -> assemble -> send -> track -> analyse; housekeep looks after what nobody finished, books
balances what was. Each file is thin and opens the room of the same name in `app/`. The broker is
set before any stage is declared, because declaring an actor needs one.
"""

from actors.declare import on_boot, set_broker

broker = set_broker()

from actors import (  # noqa: E402 - the broker comes first
    analyse,
    assemble,
    books,
    foresee,
    forget,
    housekeep,
    inbound,
    judge,
    notify,
    process,
    retain,
    schedule,
    send,
    track,
)

__all__ = [
    "analyse",
    "assemble",
    "books",
    "broker",
    "foresee",
    "forget",
    "housekeep",
    "inbound",
    "judge",
    "notify",
    "on_boot",
    "process",
    "retain",
    "schedule",
    "send",
    "track",
]
