"""Attachments: limits, names of every script, and base64 that is judged before it is decoded."""

import base64
import email
import email.policy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import InputInvalid
from app.mail.attachments import (
    AttachedFile,
    AttachmentLimits,
    check_attachments,
    decoded,
    encoded,
    file_head,
)

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\\"), min_size=1, max_size=200)
USUAL = AttachmentLimits()


def file(**changes):
    facts = {"filename": "a.pdf", "content_type": "application/pdf", "size_bytes": 9}
    return AttachedFile(**(facts | changes))


@given(NAMES.filter(str.isprintable).filter(str.strip), st.binary(max_size=300))
@example(" a ", b"")
def test_name_and_bytes_read_back(name, content):
    check_attachments([file(filename=name)], USUAL)
    raw = file_head(file(filename=name)).encode() + encoded(content)
    part = email.message_from_bytes(raw, policy=email.policy.default)

    assert part.get_filename() == name.strip()
    assert part.get_content() == content
    assert max(map(len, raw.split(b"\r\n"))) <= 140
    assert raw.isascii()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"filename": ""}, "filename"),
        ({"filename": " "}, "filename"),
        ({"filename": "../../etc/passwd"}, "filename"),
        ({"filename": "a\r\nBcc: x"}, "filename"),
        ({"filename": "invoice\u202efdp.exe"}, "filename"),
        ({"content_type": "text"}, "content_type"),
        ({"content_type": "text/plain\r\nX: y"}, "content_type"),
        ({"content_type": "message/rfc822"}, "content_type"),
        ({"content_type": "multipart/mixed; charset=x"}, "content_type"),
        ({"content_id": "a>b"}, "content_id"),
        ({"is_inline": True}, "content_id"),
    ],
)
def test_a_file_that_could_break_the_mail_is_refused_by_its_place(changes, field):
    with pytest.raises(InputInvalid) as refused:
        check_attachments([file(), file(**changes)], USUAL)
    assert refused.value.field == f"attachments.1.{field}"


@pytest.mark.parametrize(
    "files",
    [
        [file()] * 21,
        [file(size_bytes=8 * 1_048_576)] * 2,
        [file(content_id="logo", filename="a"), file(content_id="logo", filename="b")],
    ],
)
def test_too_much_is_refused(files):
    with pytest.raises(InputInvalid):
        check_attachments(files, USUAL)


def test_an_app_has_the_limits_of_its_settings():
    assert AttachmentLimits.of_app({}) == USUAL
    limits = AttachmentLimits.of_app({"attachments_most": 1, "attachments_total_bytes": 8})
    with pytest.raises(InputInvalid):
        check_attachments([file()], limits)


@given(st.binary(max_size=400))
def test_base64_is_decoded_with_or_without_line_ends(content):
    for text in (base64.b64encode(content), base64.encodebytes(content)):
        assert decoded(text.decode(), most_bytes=400, field="x") == content


@pytest.mark.parametrize("text", ["A" * 1_000, "a", "====", "<b64>", "é"])
def test_what_is_no_base64_or_too_large_is_refused(text):
    with pytest.raises(InputInvalid):
        decoded(text, most_bytes=600, field="attachments.0.content")
