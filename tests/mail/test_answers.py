"""What comes back is told apart: bounces, complaints, machines, people."""

import pytest

from app.mail.answer import AnswerKind, read_answer
from app.mail.classify import Evidence, classify
from app.mail.status import status_field


def report(fields: str, text: str = "It failed.", head: str = "") -> bytes:
    return (
        "From: MAILER-DAEMON@mx.example\nTo: b+x@our.example\nSubject: Undelivered mail\n"
        f"{head}Content-Type: multipart/report; report-type=delivery-status; boundary=BB\n\n"
        f"--BB\nContent-Type: text/plain\n\n{text}\n"
        f"--BB\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n"
        f"Original-Envelope-Id: env-1\n\n{fields}\n"
        "--BB\nContent-Type: message/rfc822\n\nFrom: us@our.example\nTo: ana@example.com\n"
        "Message-ID: <m1@our.example>\nSubject: Hello\n\nHello\n--BB--\n"
    ).encode()


def notice(
    text: str, head: str = "From: MAILER-DAEMON@mx.example\nSubject: failure notice\n"
) -> bytes:
    return f"Return-Path: <>\nTo: b+x@our.example\n{head}\n{text}\n".encode()


def read(raw: bytes) -> list[tuple[str, str]]:
    return [(one.address, str(one.class_)) for one in read_answer(raw).verdicts]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("Final-Recipient: rfc822; ana@example.com\nAction: failed\nStatus: 5.1.1", "hard"),
        ("Final-Recipient: rfc822;<ana@example.com>\nAction: failed (x)\nStatus: 5.2.2", "soft"),
        ("Final-Recipient: rfc822; ana@example.com\nAction: delayed\nStatus: 4.4.1", "delayed"),
        ("Final-Recipient: rfc822; ana@example.com\nAction: relayed\nStatus: 2.1.5", "delivered"),
        ("Final-Recipient: LOCAL; x@y.z\nOriginal-Recipient: rfc822; ana+40example.com\nStatus: 5.7.1", "block"),
        ("Final-recipient: RFC822; ana@example.com\n\nAction: failed\nStatus: 5.1.1", "hard"),
        ("> Final-Recipient: rfc822; ana@example.com\n> Action: failed\n> Status: 5.1.10", "hard"),
    ],
)  # fmt: skip
def test_a_report_gives_recipient_and_class(fields, expected):
    assert read(report(fields)) == [("ana@example.com", expected)]


def test_a_report_names_the_mail_it_is_about():
    answer = read_answer(report("Final-Recipient: rfc822; a@b.example\nStatus: 5.1.1"))

    assert answer.kind is AnswerKind.BOUNCE
    assert answer.envelope_id == "env-1"
    assert answer.original_ids == ("m1@our.example",)


def test_each_recipient_of_a_report_has_a_verdict_of_its_own():
    fields = (
        "Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n"
        "Final-Recipient: rfc822; c@b.example\nAction: failed\nStatus: 5.2.2\n\n"
        "Final-Recipient: rfc822; d@b.example\nAction: delayed\nStatus: 4.2.0"
    )
    expected = [("a@b.example", "hard"), ("c@b.example", "soft"), ("d@b.example", "delayed")]
    assert read(report(fields)) == expected


def test_a_report_forwarded_as_text_is_read():
    raw = notice(
        "see below\n\n> Final-Recipient: rfc822; ana@example.com\n> Action: failed\n> Status: 5.1.1\n",
        "From: Bob <bob@our.example>\nSubject: Fwd: look\n",
    )
    assert read(raw) == [("ana@example.com", "hard")]


@pytest.mark.parametrize(
    ("status", "diagnostic", "expected"),
    [
        ("5.1.1", "smtp; 550 5.1.1 <a@b.example>: Recipient address rejected: User unknown", "hard"),
        ("5.0.0", "smtp; 550 No such user here", "hard"),
        ("5.1.2", "smtp; 550 Host unknown", "hard"),
        ("5.2.1", "smtp; 550 5.2.1 The account is disabled", "hard"),
        ("5.2.1", "smtp; 550 5.2.1 not now", "soft"),
        ("5.4.4", "X-Postfix; Host or domain name not found. Name service error for name=b.example type=A: Host not found", "hard"),
        ("5.4.4", "X-Postfix; Host or domain name not found. Name service error for name=relay.our.example type=A: Host not found", "block"),
        ("5.1.1", "smtp; 552 5.2.2 mailbox full", "soft"),
        ("5.1.1", "smtp; 550 over quota", "soft"),
        ("4.2.2", "smtp; 452 4.2.2 mailbox full", "soft"),
        ("5.0.0", "smtp; 550 unhappy", "soft"),
        ("5.5.0", "", "soft"),
        ("5.3.4", "smtp; 552 message size exceeds fixed maximum", "soft"),
        ("5.7.1", "smtp; 554 5.7.1 Service unavailable; Client host blocked using zen.spamhaus.org", "block"),
        ("5.7.26", "smtp; 550 5.7.26 unauthenticated mail is prohibited (DMARC)", "block"),
        ("5.1.8", "smtp; 550 5.1.8 Sender address rejected: Domain not found", "block"),
        ("5.7.1", "smtp; 550 5.7.1 Unable to relay for a@b.example", "block"),
        ("5.1.1", "smtp; 550 5.1.1 rejected: message looks like spam", "block"),
        ("4.4.7", "smtp; 421 connection timed out", "soft"),
        ("5.4.7", "smtp; 451 4.7.1 Greylisted, try again later", "soft"),
        ("5.0.0", "connect to b.example[192.0.2.1]:25: Connection refused", "soft"),
        ("5.1.1", "connect to relay.example[192.0.2.1]: Connection timed out", "soft"),
        ("5.6.0", "", "soft"),
        ("5.4.6", "", "block"),
    ],
)  # fmt: skip
def test_a_class_follows_from_status_and_words(status, diagnostic, expected):
    evidence = Evidence(address="a@b.example", status=status_field(status), diagnostic=diagnostic)
    verdict = classify(evidence)

    assert (str(verdict.class_), verdict.rule) == (expected, verdict.rule)
    assert verdict.explanation


NOTICES = {
    "qmail": "Hi. This is the qmail-send program at mx.example.\nI'm afraid I wasn't able to deliver "
    "your message to the following addresses.\nThis is a permanent error; I've given up.\n\n"
    "<ana@example.com>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 no such user\n\n"
    "--- Below this line is a copy of the message.\n\nTo: other@example.com\n",
    "exim": "This message was created automatically by mail delivery software.\n\nA message that you "
    "sent could not be delivered to one or more of its\nrecipients. This is a permanent error. The "
    "following address(es) failed:\n\n  ana@example.com\n    SMTP error from remote mail server "
    "after RCPT TO:<ana@example.com>:\n    host mx [192.0.2.1]: 550 5.1.1 unknown user\n\n"
    "------ This is a copy of the message, including all the headers. ------\n\nTo: x@example.com\n",
    "exchange": "Your message\n\n  To:      ana@example.com\n  Subject: Hi\n\ndid not reach the following "
    "recipient(s):\n\nana@example.com on Thu, 29 Apr 2010 00:00:00 -0000\n    The recipient name is "
    "not recognized\n    MSEXCH:IMS:N:K:NEKO 0 (000C05A6) Unknown Recipient\n",
    "domino": "Your message\n\n  Subject: Hi\n\nwas not delivered to:\n\n  ana@example.com\n\nbecause:\n\n"
    "  User ana (ana@example.com) not listed in Domino Directory\n",
    "sendmail": "   ----- The following addresses had permanent fatal errors -----\n<ana@example.com>\n"
    "    (reason: 550 5.1.1 <ana@example.com>... User unknown)\n\n   ----- Transcript of session "
    "follows -----\n... while talking to mx.example.com.:\n>>> DATA\n<<< 550 5.1.1 User unknown\n",
    "yahoo": "Sorry, we were unable to deliver your message to the following address.\n\n"
    "<ana@example.com>:\nRemote host said: 554 delivery error: dd This user doesn't have a yahoo.com "
    "account (ana@example.com) [0]\n",
    "one and one": "This message was created automatically by mail delivery software.\n\nA message that "
    "you sent could not be delivered.\nThe following address failed:\n\n<ana@example.com>:\nSMTP "
    "error from remote server after RCPT command:\nhost: mx.example.com\n5.1.1 no such mailbox\n",
    "a session": "The message could not be delivered.\n>>> RCPT To:<ana@example.com>\n<<< 550 user unknown\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", NOTICES)
def test_a_notice_in_prose_gives_recipient_and_class(kind):
    assert read(notice(NOTICES[kind])) == [("ana@example.com", "hard")]


def test_a_warning_is_no_bounce():
    text = (
        "This message was created automatically by mail delivery software.\nA message that you sent has "
        "not yet been delivered to one or more of its recipients\nafter more than 24 hours.\n\n  "
        "ana@example.com\n\nNo action is required on your part. Delivery attempts will continue.\n"
    )
    assert read(notice(text)) == [("ana@example.com", "delayed")]


def complaint(kind: str, fields: str) -> bytes:
    return (
        "From: feedback@isp.example\nTo: fbl@our.example\nSubject: complaint\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=B\n\n"
        "--B\nContent-Type: text/plain\n\nAn abuse report.\n--B\nContent-Type: message/feedback-report\n\n"
        f"Feedback-Type: {kind}\nVersion: 1\n{fields}\n"
        "--B\nContent-Type: message/rfc822\n\nFrom: us@our.example\nTo: ana@example.com\n\nHi\n--B--\n"
    ).encode()


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("abuse", "Original-Rcpt-To: bob@example.com\n", ("bob@example.com", "complaint")),
        ("abuse", "", ("ana@example.com", "complaint")),
        ("opt-out", "Removal-Recipient: <bob@example.com>\n", ("bob@example.com", "complaint")),
        ("not-spam", "Original-Rcpt-To: bob@example.com\n", ("bob@example.com", "none")),
        ("auth-failure", "", ("ana@example.com", "none")),
    ],
)
def test_a_feedback_report_is_a_complaint_when_it_complains(kind, fields, expected):
    answer = read_answer(complaint(kind, fields))

    assert answer.kind is AnswerKind.COMPLAINT
    assert read(complaint(kind, fields)) == [expected]


@pytest.mark.parametrize(
    ("head", "text", "kind"),
    [
        ("Auto-Submitted: auto-replied\nSubject: Re: Hello\n", "I am away.", "auto-reply"),
        ("Subject: Out of Office: Hello\n", "I am away.", "auto-reply"),
        ("X-Autoreply: yes\nSubject: Thanks\n", "We got it.", "auto-reply"),
        ("Subject: Re: Hello\nIn-Reply-To: <m1@our.example>\n", "I am on vacation then.", "reply"),
        ("Subject: Re: Hello\n", "Mail to bob@example.com failed: user unknown.", "reply"),
        ("Subject: unsubscribe\n", "", "unsubscribe"),
        ("Subject: Re: Hello\n", "Please remove me from your list.\n\nOn Monday X wrote:\n> hi", "unsubscribe"),
        ("Subject: Re: Hello\n", "Do not unsubscribe me, I like it!", "reply"),
    ],
)  # fmt: skip
def test_people_and_machines_are_told_apart(head, text, kind):
    raw = f"From: Ana <ana@example.com>\nTo: r+x@our.example\n{head}\n{text}\n".encode()
    assert read_answer(raw).kind == kind


def test_a_reply_keeps_its_thread_and_its_own_words():
    raw = (
        b"From: ana@example.com\nSubject: Re: Hello\nIn-Reply-To: <m2@our.example>\n"
        b"References: <m1@our.example>\n <m2@our.example>\n\nYes, please.\n\n"
        b"On Mon, 1 Jun 2026 at 10:00, Us <us@our.example> wrote:\n> Hello\n"
    )
    answer = read_answer(raw)

    assert answer.original_ids == ("m2@our.example", "m1@our.example")
    assert answer.written.own == "Yes, please."
    assert answer.written.quoted.endswith("> Hello")
