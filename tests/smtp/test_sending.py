"""A group against the real inbox: every verdict a working server can give."""

import time
from dataclasses import replace

import pytest

from app.smtp.connection import Security, Stage
from app.smtp.journal import read
from app.smtp.pool import Pool
from app.smtp.transaction import Verdict
from tests.smtp.peers import BODY, QUICK, mail, server_at


@pytest.fixture(params=[True, False], ids=["pipelined", "sequential"])
def inbox(request, make_inbox):
    return make_inbox(pipelining=request.param)


def verdicts(attempts):
    return [attempt.verdict for attempt in attempts]


def test_every_mail_arrives_once_over_all_connections(inbox, make_group, journal):
    group = make_group(inbox.smtp_port)
    attempts = group.submit([mail(n) for n in range(200)], journal)
    assert verdicts(attempts) == [Verdict.ACCEPTED] * 200
    arrived = [message.rcpt_to[0] for message in inbox.messages()]
    assert sorted(arrived) == sorted(f"reader{n}@example.com" for n in range(200))
    assert len(group.connections) == 4


def test_bytes_arrive_as_rendered_with_dots_at_line_starts(inbox, make_group, journal):
    body = BODY + b".hidden\r\n..\r\n.\r\nend\r\n"
    make_group(inbox.smtp_port).submit([mail(body=body), mail(body=b".\r\n")], journal)
    assert inbox.store.open(1)[1] == body
    assert inbox.store.open(2)[1] == b".\r\n"


def test_connections_are_kept_across_submits(inbox, make_group, journal):
    group = make_group(inbox.smtp_port)
    first = group.submit([mail(1)], journal)[0]
    second = group.submit([mail(2)], journal)[0]
    assert first.connection_id == second.connection_id


@pytest.mark.parametrize(
    ("address", "verdict", "code", "stage"),
    [
        ("bounce+550@x.test", Verdict.REFUSED, 550, Stage.RCPT),
        ("bounce+552@x.test", Verdict.REFUSED, 552, Stage.RCPT),
        ("defer+451@x.test", Verdict.DEFERRED, 451, Stage.RCPT),
        ("data+554@x.test", Verdict.REFUSED, 554, Stage.DOT),
        ("data+452@x.test", Verdict.DEFERRED, 452, Stage.DOT),
        ("greylist@x.test", Verdict.DEFERRED, 451, Stage.RCPT),
    ],
)
def test_a_refused_mail_leaves_its_neighbours_alone(
    inbox, make_group, journal, address, verdict, code, stage
):
    group = make_group(inbox.smtp_port, connections=1)
    mails = [mail(1), mail(2, address), mail(3), mail(4, address.replace("@", "+b@")), mail(5)]
    attempts = group.submit(mails, journal)
    assert verdicts(attempts) == [
        Verdict.ACCEPTED, verdict, Verdict.ACCEPTED,
        Verdict.DEFERRED if address == "greylist@x.test" else verdict, Verdict.ACCEPTED,
    ]  # fmt: skip
    assert (attempts[1].code, attempts[1].stage) == (code, stage)
    assert len(inbox.messages()) == 3
    assert len({attempt.connection_id for attempt in attempts}) == 1


def test_a_refused_last_mail_leaves_the_connection_usable(inbox, make_group, journal):
    group = make_group(inbox.smtp_port, connections=1)
    refused = group.submit([mail(1, "bounce+550@x.test")], journal)[0]
    accepted = group.submit([mail(2)], journal)[0]
    assert accepted.verdict is Verdict.ACCEPTED
    assert refused.connection_id == accepted.connection_id


def test_greylisted_mail_is_accepted_the_second_time(inbox, make_group, journal):
    group = make_group(inbox.smtp_port)
    assert group.submit([mail(1, "greylist@x.test")], journal)[0].verdict is Verdict.DEFERRED
    assert group.submit([mail(1, "greylist@x.test")], journal)[0].verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("fault", ["hang-after-data", "close-after-dot"])
def test_a_dot_without_a_reply_is_unknown_and_not_sent_again(inbox, make_group, journal, fault):
    group = make_group(inbox.smtp_port, connections=2)
    mails = (
        [mail(n) for n in range(5)] + [mail(5, f"{fault}@x.test")] + [mail(n) for n in range(6, 9)]
    )
    attempts = group.submit(mails, journal)
    assert verdicts(attempts) == [*[Verdict.ACCEPTED] * 5, Verdict.UNKNOWN, *[Verdict.ACCEPTED] * 3]
    assert len(inbox.messages()) == 9
    contents = read(journal.path)
    assert contents.started - set(contents.replied) == {(f"{5:032x}", 1)}


def test_a_connection_closed_before_the_dot_leaves_the_mail_untried(inbox, make_group, journal):
    group = make_group(inbox.smtp_port)
    big = BODY + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 200_000
    poison = mail(1, "close-after-data@x.test", body=big)
    attempts = group.submit([mail(0), poison, mail(2)], journal)
    assert verdicts(attempts) == [Verdict.ACCEPTED, Verdict.UNTRIED, Verdict.ACCEPTED]
    assert len(inbox.messages()) == 2


def test_421_to_a_recipient_is_the_servers_fault_not_the_recipients(inbox, make_group, journal):
    attempts = make_group(inbox.smtp_port).submit([mail(1), mail(2, "shutdown@x.test")], journal)
    assert verdicts(attempts) == [Verdict.ACCEPTED, Verdict.UNTRIED]
    assert attempts[1].code == 421
    assert attempts[1].stage is Stage.RCPT


def test_a_slow_reply_is_waited_for(inbox, make_group, journal):
    attempts = make_group(inbox.smtp_port).submit([mail(1, "slow+0.2@x.test")], journal)
    assert attempts[0].verdict is Verdict.ACCEPTED
    assert attempts[0].elapsed_ms >= 200


def test_mails_that_a_slow_server_leaves_no_time_for_are_untried(inbox, make_group, journal):
    timeouts = replace(QUICK, submit_s=0.4, dot_s=5)
    group = make_group(inbox.smtp_port, connections=1, timeouts=timeouts)
    group.submit([mail(9)], journal)
    attempts = group.submit([mail(n, f"slow+0.5+{n}@x.test") for n in range(5)], journal)
    assert attempts[0].verdict is Verdict.ACCEPTED
    assert verdicts(attempts[2:]) == [Verdict.UNTRIED] * 3
    assert attempts[4].text == "The time for this batch is over."


def test_the_dialogue_tells_every_reply_with_its_time(inbox, make_group, journal):
    attempt = make_group(inbox.smtp_port).submit([mail(1)], journal)[0]
    assert [text.split(" ")[0] for _, text in attempt.dialogue] == ["250", "250", "354", "250"]
    assert attempt.text == "2.0.0 Ok: kept as 1"
    assert attempt.host == "127.0.0.1[127.0.0.1]"
    assert attempt.tls is None


def test_the_journal_names_start_and_reply_of_every_mail(inbox, make_group, journal):
    make_group(inbox.smtp_port).submit([mail(1), mail(2, "data+554@x.test")], journal)
    contents = read(journal.path)
    assert contents.started == set(contents.replied)
    assert contents.replied[f"{1:032x}", 1][0] == 250
    assert contents.replied[f"{2:032x}", 1] == (554, "5.7.1 delivery not authorised")


def test_a_connection_closed_while_idle_costs_nobody_an_attempt(inbox, make_group, journal):
    group = make_group(inbox.smtp_port)
    group.submit([mail(n) for n in range(20)], journal)
    inbox.hang_up()
    time.sleep(0.05)
    attempts = group.submit([mail(n) for n in range(20)], journal)
    assert verdicts(attempts) == [Verdict.ACCEPTED] * 20


def test_a_connection_carries_no_more_mails_than_allowed(inbox, make_group, journal):
    group = make_group(inbox.smtp_port, connections=2, max_mails=3)
    attempts = group.submit([mail(n) for n in range(20)], journal)
    assert verdicts(attempts) == [Verdict.ACCEPTED] * 20
    used = [attempt.connection_id for attempt in attempts]
    assert max(used.count(connection) for connection in used) == 3


def test_a_connection_idle_for_too_long_is_replaced(inbox, make_group, journal):
    group = make_group(inbox.smtp_port, max_idle_s=0.0)
    first = group.submit([mail(1)], journal)[0]
    second = group.submit([mail(2)], journal)[0]
    assert second.verdict is Verdict.ACCEPTED
    assert first.connection_id != second.connection_id


def test_an_empty_submit_returns_nothing(inbox, make_group, journal):
    assert make_group(inbox.smtp_port).submit([], journal) == []
    assert inbox.messages() == []


def test_a_pool_keeps_one_group_per_server_and_closes_the_rest(make_inbox):
    port = make_inbox().smtp_port
    pool = Pool(size=2)
    servers = [server_at(port, username=f"u{n}", password="p") for n in range(3)]
    first = pool.group(servers[0])
    assert pool.group(servers[0]) is first
    pool.group(servers[1])
    pool.group(servers[2])
    assert pool.group(servers[0]) is not first
    pool.close_all()


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_large_mails_arrive_whole_over_tls(make_inbox, make_group, journal, certificates, security):
    offer = {"tls": certificates.context("127.0.0.1"), "implicit_tls": security is Security.TLS}
    inbox = make_inbox(**offer)
    body = BODY + (b"z" * 76 + b"\r\n") * 40_000
    group = make_group(inbox.smtp_port, security=security, ca_file=certificates.ca_file)
    attempts = group.submit(
        [mail(n, body=body if n % 5 == 0 else BODY) for n in range(20)], journal
    )
    assert verdicts(attempts) == [Verdict.ACCEPTED] * 20
    assert attempts[0].tls.startswith("TLSv1.3 ")
    assert sorted(message.size for message in inbox.messages())[-4:] == [len(body)] * 4
