"""Text that is kept holds no address, and one person is found without finding their namesakes."""

import logging
import re
import subprocess
import sys

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import log
from app.redaction import addresses, mention, without_addresses, without_person

LOCAL = st.from_regex(r"[a-z][a-z0-9.+_-]{0,12}[a-z0-9]", fullmatch=True)


@given(local=LOCAL, before=st.sampled_from(["", "<", "'", "to=", "\\n", "(", ": "]))
def test_no_address_is_left_in_a_text(local: str, before: str):
    address = f"{local}@example.com"
    assert address not in without_addresses(f"550 {before}{address}> unknown")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("550 <ann@x.io>: unknown", "550 <a***@x.io>: unknown"),
        ('"ann smith"@x.io is gone', "a***@x.io is gone"),
        ("?who=ann@x.io&b=1", "?who=a***@x.io&b=1"),
        ("10 @ 5", "10 @ 5"),
        ("to ann@x.io\\nbob@y.io", "to a***@x.io\\n***@y.io"),
    ],
)
def test_an_address_is_masked(text: str, expected: str):
    assert without_addresses(text) == expected


FOUND = [
    "ann@x.io",
    "<ANN@x.io>",
    "to=ann@x.io.",
    '"\\nann@x.io"',
    "who=ann%40x.io&",
    "mailto%3aann%40x.io",
    "?cc=bob%40y.io%2Cann%40x.io",
    "ann@x.io, b",
]
OTHERS = ["joann@x.io", "jo.ann@x.io", "a+ann@x.io", "ann@x.io.example", "ann@x.ion", "ann@x-io"]


@pytest.mark.parametrize("text", FOUND)
def test_a_person_is_found(scratch: psycopg.Connection, text: str):
    assert re.search(mention("ann@x.io"), text, re.IGNORECASE)
    assert scratch.execute("SELECT %s ~* %s", (text, mention("ann@x.io"))).fetchone() == (True,)


@pytest.mark.parametrize("text", OTHERS)
def test_somebody_with_a_longer_address_is_not(scratch: psycopg.Connection, text: str):
    assert not re.search(mention("ann@x.io"), text, re.IGNORECASE)
    assert scratch.execute("SELECT %s ~* %s", (text, mention("ann@x.io"))).fetchone() == (False,)


def test_a_person_is_cut_out_of_json():
    pattern = re.compile(mention("ann@x.io"), re.IGNORECASE)
    value = {"a": ["Dear Ann@x.io", "joann@x.io"], "ann@x.io": 1}
    assert without_person(value, pattern) == {"a": ["Dear erased", "joann@x.io"], "erased": 1}


def test_addresses_in_urls_are_found():
    found = addresses("https://x.example/?a=ann%40x.io and <Bob@y.io>")
    assert {"ann@x.io", "bob@y.io"} <= found


def test_an_address_behind_a_json_escape_is_found():
    assert "ann@x.io" in addresses(r"failed:\nann@x.io")


def test_a_long_text_is_read_once():
    text = (
        "a" * 300_000 + " <ann@x.io>"
    )  # read again from each letter, this would take half an hour
    assert without_addresses(text) == text.replace("ann", "a***")


def test_what_a_mailboxs_server_says_is_not_logged():
    script = (
        "from app import log; from imapclient.util import to_unicode;"
        "log.configure('debug', 'json'); to_unicode(b'a word \\xff of a mail')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stderr == b""


def test_lines_of_libraries_are_masked_with_their_tracebacks():
    try:
        int("ann@x.io")
    except ValueError as error:
        trace = (ValueError, error, error.__traceback__)
    line = logging.LogRecord("dramatiq", logging.ERROR, "f", 1, "to %s", ("ann@x.io",), trace)
    assert log._OnlyWithoutAddresses().filter(line)
    assert "ann@x.io" not in logging.Formatter().format(line)
    assert "to a***@x.io" in logging.Formatter().format(line)
