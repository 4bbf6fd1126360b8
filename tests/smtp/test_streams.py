"""A stream: more mails board while others are under way."""

import pytest

from app.smtp.journal import read
from app.smtp.transaction import Verdict
from tests.smtp.peers import mail


@pytest.fixture(params=[True, False], ids=["pipelined", "sequential"])
def inbox(request, make_inbox):
    return make_inbox(pipelining=request.param)


def test_mails_added_on_the_way_arrive_once_and_keep_their_numbers(inbox, make_group, journal):
    group = make_group(inbox.smtp_port)
    settled = []
    with group.stream(journal) as stream:
        for lot in range(5):
            stream.add([mail(20 * lot + n) for n in range(20)])
            settled += stream.until_low()
            assert stream.under_way <= 3 * group.server.connections
        settled += stream.until_done()
    assert sorted(number for number, _ in settled) == list(range(100))
    assert {attempt.verdict for _, attempt in settled} == {Verdict.ACCEPTED}
    arrived = sorted(message.rcpt_to[0] for message in inbox.messages())
    assert arrived == sorted(f"reader{n}@example.com" for n in range(100))


def test_a_stream_that_breaks_off_leaves_nothing_to_the_next(inbox, make_group, journal):
    group = make_group(inbox.smtp_port)
    with pytest.raises(KeyboardInterrupt):
        _break_off(group, journal)
    assert group.connections == []
    after = group.submit([mail(n) for n in range(100, 110)], journal)
    assert {attempt.verdict for attempt in after} == {Verdict.ACCEPTED}
    contents = read(journal.path)
    arrived = {message.rcpt_to[0] for message in inbox.messages()}
    announced = {f"reader{int(key, 16)}@example.com" for key, _ in contents.started}
    assert arrived <= announced


def _break_off(group, journal):
    with group.stream(journal) as stream:
        stream.add([mail(n) for n in range(40)])
        stream.until_low()
        raise KeyboardInterrupt


def test_a_plain_success_may_leave_its_dialogue_out(inbox, make_group, journal):
    mails = [mail(1, keeps_dialogue=False), mail(2, "data+554@x.test", keeps_dialogue=False)]
    accepted, refused = make_group(inbox.smtp_port).submit(mails, journal)
    assert (accepted.verdict, accepted.dialogue) == (Verdict.ACCEPTED, ())
    assert accepted.text.startswith("2.0.0 Ok")
    assert (refused.verdict, len(refused.dialogue)) == (Verdict.REFUSED, 4)
