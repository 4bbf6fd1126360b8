"""What a submitted message adds: people in the header, files around the body."""

import pytest

from app.errors import InputInvalid
from app.mail.attachments import AttachedFile, encoded
from tests.assembly.letters import DATE, compiled, parsed, recipient, written

LOGO = AttachedFile(
    filename="logo.png", content_type="image/png", size_bytes=3, content_id="logo", is_inline=True
)
BILL = AttachedFile(filename="Rechnung März 2026.pdf", content_type="application/pdf", size_bytes=4)
HTML = '<p>Hi {{ name }}</p><img src="cid:logo">'


def enclosed(html, files, contents):
    version = compiled(html, text="Hi {{ name }}", files=files)
    slots = version.slots(recipient({"name": "Zoë"}))
    return version.whole(slots, DATE, [encoded(content) for content in contents])


def shape(part):
    """Return the tree of content types."""
    if not part.is_multipart():
        return part.get_content_type()
    return [part.get_content_subtype(), *map(shape, part.iter_parts())]


def test_inline_files_stand_beside_the_html_and_attached_ones_after_both():
    raw = enclosed(HTML, (BILL, LOGO), (b"%PDF", b"PNG"))
    message = parsed(raw)

    related = ["related", "text/html", "image/png"]
    assert shape(message) == ["mixed", ["alternative", "text/plain", related], "application/pdf"]
    assert message.get_body(("html",)).get_content().startswith("<p>Hi Zoë</p>")
    (bill,) = message.iter_attachments()
    assert (bill.get_filename(), bill.get_content()) == (BILL.filename, b"%PDF")
    logo = next(part for part in message.walk() if part["Content-ID"])
    assert (logo["Content-ID"], logo.get_content()) == ("<logo>", b"PNG")
    assert logo.get_content_disposition() == "inline"
    assert message.defects == []
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_containers_with_one_part_are_left_out():
    assert shape(parsed(enclosed(HTML, (LOGO,), (b"PNG",)))) == [
        "alternative",
        "text/plain",
        ["related", "text/html", "image/png"],
    ]
    assert shape(parsed(enclosed(HTML, (BILL,), (b"%PDF",)))) == [
        "mixed",
        ["alternative", "text/plain", "text/html"],
        "application/pdf",
    ]


def test_without_html_every_file_is_attached():
    message = parsed(enclosed(None, (LOGO, BILL), (b"PNG", b"%PDF")))

    assert shape(message) == ["mixed", "text/plain", "image/png", "application/pdf"]
    assert message.get_body(("plain",)).get_content().strip() == "Hi Zoë"


def test_everybody_sees_the_same_to_and_cc():
    version = compiled(
        text="t",
        to=(("Ana Ω", "ana@a.example"), (None, "bo@b.example")),
        cc=(("Büro, Nord", "nord@c.example"),),
        reply_to=("r1@r.example", "r2@r.example"),
    )
    message = parsed(written(version, to="hidden@h.example", to_name="Hidden"))

    people = [(one.display_name, one.addr_spec) for one in message["To"].addresses]
    assert people == [("Ana Ω", "ana@a.example"), ("", "bo@b.example")]
    assert [one.display_name for one in message["Cc"].addresses] == ["Büro, Nord"]
    assert len(message["Reply-To"].addresses) == 2
    assert b"idden" not in written(version, to="hidden@h.example", to_name="Hidden")


def test_a_header_in_utf_8_asks_for_a_server_that_takes_it():
    assert compiled(text="t", cc=((None, "zoë@a.example"),)).is_international
    assert not compiled(text="t", cc=(("Zoë", "zoe@a.example"),)).is_international


@pytest.mark.parametrize("name", ["to", "cc"])
def test_an_address_that_could_break_the_header_is_refused(name):
    with pytest.raises(InputInvalid):
        compiled(text="t", **{name: (("A", "a@b.example>\r\nBcc: <x@y.example"),)})
