"""What limits above the account let through at release, and when the rest may try again."""

import datetime as dt
from uuid import uuid4

from app.policy.limits import Capacity, domain_gate, queue_gate
from app.scheduling.due import Pick
from app.scheduling.rooms import Openings, admit

NOW = dt.datetime(2026, 1, 7, 10, tzinfo=dt.UTC)
APP, QUEUE = uuid4(), uuid4()


def pick(app_id=APP, queue_id=QUEUE, to_domain="example.org"):
    return Pick(
        email_id=uuid4(),
        app_id=app_id,
        queue_id=queue_id,
        account_id=uuid4(),
        template_version_id=uuid4(),
        campaign_id=None,
        step_id=None,
        lead_id=None,
        message_id=None,
        look=None,
        priority=5,
        due_at=NOW,
        window_closes_at=None,
        expires_at=None,
        starts=0,
        to_domain=to_domain,
    )


def capacity(count, opens_in_s=0):
    return Capacity(count=count, next_slot_at=NOW + dt.timedelta(seconds=opens_in_s))


def test_without_gates_everything_goes_in_order():
    picks = [pick() for _ in range(5)]
    assert admit(picks, Openings(total=10), NOW) == (picks, [])


def test_what_an_app_has_no_room_for_is_left_alone():
    picks = [pick() for _ in range(5)]
    assert admit(picks, Openings(total=10, apps={APP: 2}), NOW) == (picks[:2], [])


def test_everything_together_has_one_room():
    picks = [pick(app_id=uuid4()) for _ in range(5)]
    assert admit(picks, Openings(total=3), NOW) == (picks[:3], [])


def test_mails_behind_a_shut_queue_come_back_at_its_pace():
    gate = queue_gate(QUEUE, 30)
    picks = [pick() for _ in range(3)]
    openings = Openings(total=9, queues={QUEUE: gate}, capacities={gate: capacity(1, 40)})
    going, moves = admit(picks, openings, NOW)
    assert going == picks[:1]
    assert [(move[0], (move[1] - NOW).total_seconds(), move[3]) for move in moves] == [
        (picks[1].email_id, 40, "limit queue"),
        (picks[2].email_id, 42, "limit queue"),
    ]


def test_nobody_behind_a_slow_gate_waits_long_for_a_limit_that_may_be_raised():
    gate = queue_gate(QUEUE, 1)
    openings = Openings(total=999, queues={QUEUE: gate}, capacities={gate: capacity(0, 10)})
    _, moves = admit([pick() for _ in range(500)], openings, NOW)
    assert max(move[1] for move in moves) == NOW + dt.timedelta(seconds=70)


def test_a_slowed_domain_does_not_keep_its_neighbours_back():
    gate = domain_gate(APP, "slow.org", 60)
    openings = Openings(
        total=9, domains={(APP, "slow.org"): gate}, capacities={gate: capacity(0, 5)}
    )
    slow, fast, other = pick(to_domain="slow.org"), pick(), pick(uuid4(), to_domain="slow.org")
    going, moves = admit([slow, fast, other], openings, NOW)
    assert going == [fast, other]
    assert [(move[0], move[3]) for move in moves] == [(slow.email_id, "limit domain")]


def test_a_mail_kept_back_by_one_gate_takes_no_room_in_another():
    shut, free = queue_gate(QUEUE, 60), domain_gate(APP, "example.org", 60)
    openings = Openings(
        total=9,
        queues={QUEUE: shut},
        domains={(APP, "example.org"): free},
        capacities={shut: capacity(0), free: capacity(1)},
    )
    behind, going_on = pick(), pick(queue_id=uuid4())
    assert admit([behind, going_on], openings, NOW)[0] == [going_on]
