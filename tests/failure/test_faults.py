"""Each fault of tests/failure/faults.py, short: a campaign under load, the harm, the count."""

import random

import pytest

from tests.failure.faults import Trial, strike

SEED = 3
SHORT = {
    "workers are killed": (["worker killed at random"], 10),
    "a worker is frozen": (["worker frozen past its lease"], 2),
    "clocks are killed": (["clock killed, two clocks", "messages doubled and shuffled"], 2),
    "RabbitMQ is killed and wiped": (
        ["RabbitMQ killed and restarted", "RabbitMQ killed and wiped"],
        1,
    ),
    "PostgreSQL is killed": (
        ["every database connection cut", "PostgreSQL killed and restarted"],
        2,
    ),
    "Redis is killed and wiped": (["Redis killed and restarted", "Redis killed and wiped"], 1),
    "limits change and the campaign pauses": (["limits changed, paused, resumed, killed"], 1),
    "the server refuses mail": (
        [
            "SMTP greylists everybody",
            "SMTP says 452",
            "SMTP says 451 at the dot",
            "SMTP says 550 for some",
        ],
        1,
    ),
    "the server breaks connections": (
        [
            "SMTP closes after the final dot",
            "SMTP closes at RCPT",
            "SMTP says 421 in the middle",
            "SMTP answers one byte at a time",
            "SMTP replies garbage to MAIL",
            "SMTP replies garbage to the dot",
            "SMTP refuses connections",
        ],
        1,
    ),
}


@pytest.mark.parametrize("title", SHORT)
def test_nothing_is_lost_or_sent_twice_when(stand, promise, title) -> None:
    names, rounds = SHORT[title]
    stand.office.pace_s = 0.1
    trial = Trial(
        stand=stand, campaign=stand.plan(200), rng=random.Random(f"{SEED} {title}"), rounds=rounds
    )
    strike(trial, names)
    promise(stand)
