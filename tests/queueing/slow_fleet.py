"""What test_drain.py starts as real worker processes: one slow actor on send.high."""

import os
import time
from pathlib import Path

from actors import declare
from app.queueing.payloads import TickPayload
from app.queueing.steps import SEND, Lane

_LOG = Path(os.environ["SLOW_FLEET_LOG"])


def say(word: str) -> None:
    """Append a line, whole, whoever else writes."""
    with _LOG.open("a") as log:
        log.write(f"{word}\n")


def slow(payload: TickPayload) -> None:
    """Take a second."""
    say(f"began {payload.reason}")
    time.sleep(1)
    say(f"ended {payload.reason}")


declare.on_boot[:] = [lambda: say("booted")]
declare.on_stop[:] = [lambda: say("stopped")]
declare.set_broker()
declare.stage_actor(SEND, Lane.HIGH, slow, TickPayload)
