"""The inbox as its users meet it: a foreign SMTP client, a browser, a program."""

import contextlib
import json
import signal
import smtplib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from email.message import EmailMessage

import pytest

from app.errors import DependencyUnavailable
from app.inbox import Inbox, Offer
from app.inbox.faults import NONE, Fault, fault_of
from app.inbox.parts import parts_of
from app.inbox.store import Store


@pytest.fixture
def inbox(tmp_path):
    with Inbox(tmp_path) as started:
        yield started


def letter(subject="Grüße", to="reader@example.com"):
    message = EmailMessage()
    message["From"] = "sender@example.com"
    message["To"] = to
    message["Subject"] = subject
    message["Message-ID"] = "<one@example.com>"
    message.set_content("Hello, see https://example.com/text\n.dot\n")
    message.add_alternative(
        '<p>Hello <a href="https://example.com/?a=1&amp;b=2">link</a><script>x()</script></p>',
        subtype="html",
    )
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="a.pdf")
    return message


def send(inbox, *recipients, message=None):
    with smtplib.SMTP("127.0.0.1", inbox.smtp_port, timeout=5) as client:
        client.send_message(message or letter(), to_addrs=recipients or ["reader@example.com"])


def fetch(inbox, path, method="GET"):
    request = urllib.request.Request(f"http://127.0.0.1:{inbox.http_port}{path}", method=method)
    with urllib.request.urlopen(request, timeout=5) as response:
        return response.read().decode(), response.headers


def fetch_json(inbox, path, method="GET"):
    return json.loads(fetch(inbox, path, method)[0])


def dialogue(inbox, text):
    with socket.create_connection(("127.0.0.1", inbox.smtp_port), 5) as sock:
        sock.sendall(text.replace("\n", "\r\n").encode())
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while data := sock.recv(65_536):
                received += data
    return [int(line[:3]) for line in received.decode().splitlines() if line[3:4] == " "]


def test_a_foreign_client_sees_its_mail_in_the_list(inbox):
    send(inbox)
    (listed,) = fetch_json(inbox, "/api/messages")
    assert listed["subject"] == "Grüße"
    assert listed["rcpt_to"] == ["reader@example.com"]
    assert listed["message_id"] == "<one@example.com>"
    assert inbox.messages()[0].seq == listed["seq"] == 1


def test_a_mail_is_shown_with_its_parts(inbox):
    send(inbox)
    shown = fetch_json(inbox, "/api/messages/1")
    assert "Hello, see" in shown["parts"]["text"]
    assert ".dot" in shown["parts"]["text"]
    assert shown["parts"]["attachments"] == ["a.pdf"]
    assert shown["parts"]["links"] == ["https://example.com/?a=1&b=2", "https://example.com/text"]
    assert shown["raw"].startswith("From: sender@example.com\r\n")


def test_listing_goes_on_after_a_number(inbox):
    for number in range(5):
        send(inbox, f"r{number}@example.com")
    listed = fetch_json(inbox, "/api/messages?after=2&limit=2")
    assert [message["seq"] for message in listed] == [3, 4]
    assert fetch_json(inbox, "/api/messages?after=5") == []


def test_a_mail_that_came_twice_is_counted(inbox):
    send(inbox, "a@example.com", "b@example.com")
    send(inbox, "a@example.com")
    assert fetch_json(inbox, "/api/counts") == {
        "messages": 2,
        "recipients": 2,
        "distinct": 2,
        "duplicates": [{"rcpt_to": "a@example.com", "message_id": "<one@example.com>", "count": 2}],
    }


def test_deleting_forgets_all_but_not_the_numbers(inbox):
    send(inbox)
    fetch_json(inbox, "/api/messages", "DELETE")
    assert inbox.messages() == []
    send(inbox)
    assert inbox.messages()[0].seq == 2
    assert fetch_json(inbox, "/api/messages/2")["seq"] == 2


def test_the_page_lists_newest_first_and_escapes(inbox):
    send(inbox, message=letter("<b>first</b>"))
    send(inbox, message=letter("second"))
    page, headers = fetch(inbox, "/")
    assert page.index("second") < page.index("&lt;b&gt;first")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Grüße" not in fetch(inbox, "/messages/1")[0]


def test_the_page_goes_on_to_older_mails(inbox):
    for number in range(60):
        inbox.store.append(0, "a@x", [f"r{number}@x"], b"Subject: s\r\n\r\nx\r\n")
    assert "/?before=11" in fetch(inbox, "/")[0]
    older = fetch(inbox, "/?before=11")[0]
    assert "r9@x" in older
    assert "r10@x" not in older


def test_html_of_a_mail_may_run_nothing_and_load_nothing(inbox):
    send(inbox)
    body, headers = fetch(inbox, "/messages/1/html")
    assert "<script>" in body
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "<iframe sandbox" in fetch(inbox, "/messages/1")[0]
    assert fetch(inbox, "/messages/1/source")[1]["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/messages/9", "/messages/x", "/api/messages/0", "/nothing"])
def test_what_does_not_exist_is_404(inbox, path):
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        fetch(inbox, path)
    caught.value.close()


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("bounce+550@x", Fault(rcpt_code=550)),
        ("Bounce+552+lead17@x", Fault(rcpt_code=552)),
        ("bounce@x", Fault(rcpt_code=550)),
        ("bounce+250@x", Fault(rcpt_code=550)),
        ("defer@x", Fault(rcpt_code=451)),
        ("data+452@x", Fault(dot_code=452)),
        ("slow@x", Fault(delay_s=2)),
        ("slow+0.5@x", Fault(delay_s=0.5)),
        ("slow+lead@x", Fault(delay_s=2)),
        ("greylist+17@x", Fault(greylists=True)),
        ("hang-after-data@x", Fault(hangs=True)),
        ("close-after-dot+1@x", Fault(closes_after_dot=True)),
        ("close-after-data@x", Fault(closes_after_data=True)),
        ("shutdown@x", Fault(shuts_down=True)),
        ("reader@x", NONE),
        ("", NONE),
    ],
)
def test_an_address_says_what_goes_wrong(address, fault):
    assert fault_of(address) == fault


def test_commands_out_of_order_are_refused(inbox):
    assert dialogue(
        inbox,
        "EHLO me\nRCPT TO:<a@x>\nDATA\nMAIL FROM:<a@x>\nMAIL FROM:<b@x>\nWHAT\nNOOP\nRSET\nQUIT\n",
    ) == [220, 250, 503, 503, 250, 503, 500, 250, 250, 221]


def test_a_whole_pipelined_dialogue_is_answered_in_order(inbox):
    one = "MAIL FROM:<s@x>\nRCPT TO:<%s>\nDATA\nSubject: x\n\nbody\n.\n"
    text = "EHLO me\n" + one % "a@x" + one % "b@x" + "QUIT\n"
    assert dialogue(inbox, text) == [220, 250, *[250, 250, 354, 250] * 2, 221]
    assert [message.rcpt_to for message in inbox.messages()] == [("a@x",), ("b@x",)]


def test_an_endless_line_is_cut_off(inbox):
    assert dialogue(inbox, "EHLO " + "x" * 5_000) == [220, 500]


def test_a_mail_above_the_limit_is_refused(tmp_path):
    with Inbox(tmp_path, offer=Offer(size=100)) as inbox:
        text = "EHLO me\nMAIL FROM:<s@x>\nRCPT TO:<a@x>\nDATA\n" + "x" * 60 + "\n" + "y" * 60
        assert dialogue(inbox, text + "\n.\nQUIT\n")[-2:] == [552, 221]
        assert inbox.messages() == []


def test_nobody_sends_without_the_login_that_is_asked_for(tmp_path):
    with Inbox(tmp_path, offer=Offer(login=("alice", "secret"))) as inbox:
        assert dialogue(inbox, "EHLO me\nMAIL FROM:<s@x>\nQUIT\n") == [220, 250, 530, 221]
        with smtplib.SMTP("127.0.0.1", inbox.smtp_port, timeout=5) as client:
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("alice", "wrong")
            client.login("alice", "secret")
            client.send_message(letter())
        assert len(inbox.messages()) == 1


def test_a_taken_port_is_named(inbox, tmp_path):
    with pytest.raises(DependencyUnavailable, match=str(inbox.smtp_port)):
        Inbox(tmp_path / "second", smtp_port=inbox.smtp_port).start()


def test_mails_survive_a_restart_and_a_torn_end_is_cut_off(tmp_path):
    first = Store(tmp_path)
    first.append(1, "a@x", ["b@x"], b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n\r\none\r\n")
    first.append(2, "a@x", ["c@x"], b"Subject: two\r\n folded\r\n\r\ntwo\r\n")
    first.close()
    path = tmp_path / "messages.inbox"
    head = b'{"seq":3,"at_ms":1,"mail_from":"","rcpt_to":[],"subject":"","message_id":"","size":50}'
    for torn in (b'{"seq":3', head + b"\nhalf"):
        whole = path.read_bytes()
        path.write_bytes(whole + torn)
        again = Store(tmp_path)
        assert [message.subject for message in again.messages()] == ["grüße", "two folded"]
        assert again.open(2)[1].endswith(b"two\r\n")
        assert again.append(3, "", ["d@x"], b"x\r\n") == 3
        again.clear()
        again.close()
        path.write_bytes(whole)


def test_broken_mails_give_what_can_be_read():
    assert parts_of(b"").text == ""
    assert parts_of(b"Content-Type: text/plain; charset=klingon\r\n\r\nhi\r\n").text == "hi\r\n"
    broken = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nno end"
    assert parts_of(broken).html == ""


def test_the_process_ends_cleanly_when_told_to(tmp_path):
    program = (
        "import sys, pathlib, app.inbox\n"
        "app.inbox.serve('127.0.0.1', 0, 0, pathlib.Path(sys.argv[1]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path]) as child:
        until = time.monotonic() + 10
        while not (tmp_path / "messages.inbox").exists() and time.monotonic() < until:
            time.sleep(0.02)
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
