"""What goes over the wire for one mail, and what never does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.smtp.connection import Capabilities
from app.smtp.transaction import LocalRefusal, prepare
from app.smtp.wire import wire_form
from tests.smtp.peers import BODY, mail

ALL = Capabilities(pipelining=True, size=10_000, smtputf8=True, eight_bit=True, dsn=True)
NOTHING = Capabilities()


def refusal(envelope, offered=ALL):
    prepared = prepare(0, envelope, offered)
    assert isinstance(prepared, LocalRefusal)
    return prepared.text[:5]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a b@x.test",
        "a@x.test>\r\nDATA",
        "a\n@x.test",
        "<a@x.test",
        "a\0@x.test",
        "a\x7f@x.test",
    ],
)
def test_an_address_that_could_carry_a_command_is_refused(address):
    envelope = mail(to=address or " ")
    assert refusal(envelope) == "5.1.3"
    if address:
        assert refusal(mail(mail_from=address.encode())) == "5.1.3"


def test_the_null_return_path_is_an_envelope_sender():
    assert prepare(0, mail(mail_from=b""), NOTHING).mail == b"MAIL FROM:<>\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"no end", b"bare\nlf\r\n", b"bare\rcr\r\n", b"x\r\n.\n\r\n", b"x\r.\r\n", b"nul\0\r\n",
        b"x" * 999 + b"\r\n", b"ok\r\n" + b"x" * 1999 + b"\r\n", b"ends\r\n\r",
    ],
)  # fmt: skip
def test_a_mail_that_could_smuggle_another_is_refused(body):
    assert refusal(mail(body=body)) == "5.6.0"


def test_a_line_of_998_octets_is_allowed():
    assert wire_form((b"x" * 998 + b"\r\n") * 3)


@given(st.lists(st.integers(0, 1_100), min_size=1, max_size=8))
def test_long_lines_are_found_wherever_they_stand(lengths):
    data = b"".join(b"x" * length + b"\r\n" for length in lengths)
    assert (wire_form(data) is not None) == (max(lengths) <= 998)


@given(st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"a", b"\0"])).map(b"".join))
def test_only_whole_line_breaks_pass(data):
    is_clean = b"\0" not in data and not {*b"\r\n"} & {*data.replace(b"\r\n", b"")}
    assert (wire_form(data) is not None) == (is_clean and data.endswith(b"\r\n"))


@given(st.lists(st.sampled_from([b"", b".", b"..", b"a", b".a", b"a."]), min_size=1))
def test_dot_stuffing_never_lets_a_line_end_the_mail_and_can_be_undone(lines):
    data = b"".join(line + b"\r\n" for line in lines)
    stuffed = wire_form(data).split(b"\r\n")
    assert b"." not in stuffed
    assert b"\r\n".join(line.removeprefix(b".") for line in stuffed) == data


def test_a_mail_that_cannot_be_rendered_is_refused_alone():
    envelope = mail(body=b"")
    broken = type(envelope)(
        key=b"k 1", mail_from=b"a@x.test", rcpt_to=b"b@x.test", render=lambda: {}["name"]
    )
    assert prepare(0, broken, ALL) == LocalRefusal(
        code=554, text="5.6.0 the mail cannot be rendered: 'name'"
    )


def test_what_the_server_cannot_take_is_not_offered_to_it():
    assert refusal(mail(to="jürgen@x.test"), NOTHING) == "5.6.7"
    assert refusal(mail(smtputf8=True), NOTHING) == "5.6.7"
    assert refusal(mail(body="grüße\r\n".encode()), NOTHING) == "5.6.3"
    assert refusal(mail(body=b"x\r\n" * 4_000)) == "5.3.4"


def test_options_are_said_where_they_are_needed_and_offered():
    assert prepare(0, mail(), NOTHING).mail == b"MAIL FROM:<sender@example.com>\r\n"
    size = b" SIZE=%d" % len(BODY)
    assert prepare(0, mail(), ALL).mail == b"MAIL FROM:<sender@example.com>%b\r\n" % size
    assert prepare(0, mail(to="jürgen@x.test"), ALL).mail.endswith(b" BODY=8BITMIME SMTPUTF8\r\n")
    assert prepare(0, mail(body="ü\r\n".encode()), ALL).mail.endswith(b" BODY=8BITMIME\r\n")


def test_delivery_notices_are_asked_for_in_xtext():
    prepared = prepare(0, mail(to="a+b=c@x.test", envid=b"b+1"), ALL)
    assert prepared.mail.endswith(b" RET=HDRS ENVID=b+2B1\r\n")
    assert prepared.rcpt == (
        b"RCPT TO:<a+b=c@x.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;a+2Bb+3Dc@x.test\r\n"
    )
    assert b"ENVID" not in prepare(0, mail(envid=b"b"), NOTHING).mail
