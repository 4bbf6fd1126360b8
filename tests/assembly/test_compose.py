"""The finished mail: its headers, its parts, its links, and what it refuses to be."""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import (
    InputInvalid,
    MessageMalformed,
    MissingVariables,
    Unrenderable,
)
from app.mail.echo import echo_of
from app.smtp.wire import WireForm, wire_form
from tests.assembly.letters import (
    APP,
    BASE,
    DATE,
    KEYS,
    MAIL,
    MAIL_TOKEN,
    UNSUBSCRIBE_TOKEN,
    compiled,
    content,
    parsed,
    recipient,
    written,
)

ANY = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        (
            "x\r\nBcc: evil@e.example",
            "=?utf-8?q?hello=0D=0ABcc:_evil@example.com?=",
            "\r\n\r\n--=_x",
            "x\u2028Bcc: e@e.example",
        )
    ),
)
EVERY_HEADER = [
    "Date", "From", "To", "Reply-To", "Message-ID", "Subject", "List-Unsubscribe",
    "List-Unsubscribe-Post", "Feedback-ID", "X-Campaign", "MIME-Version", "Content-Type",
]  # fmt: skip


def full(**changes):
    return compiled(
        "<p>{{ a }}</p>",
        subject="{{ a }}",
        **{
            "reply_to": ("reply@sender.example",),
            "unsubscribe": True,
            "feedback_id": "c1:app:mailqueue",
            "headers": (("X-Campaign", "spring"),),
            **changes,
        },
    )


FULL = full()


@given(ANY, ANY)
@settings(max_examples=200)
def test_no_value_can_add_a_header(value, name):
    message = parsed(written(FULL, {"a": value}, to_name=name))

    assert message.keys() == EVERY_HEADER
    assert [one.addr_spec for one in message["To"].addresses] == ["user@rcpt.example"]
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize(
    ("host", "name", "value"),
    [
        ("smtp.postmarkapp.com", "X-PM-Metadata-mailqueue", MAIL.hex),
        ("smtp.sendgrid.net", "X-SMTPAPI", f'{{"unique_args":{{"mailqueue":"{MAIL.hex}"}}}}'),
        ("smtp.mailgun.org", "X-Mailgun-Variables", f'{{"mailqueue":"{MAIL.hex}"}}'),
        ("email-smtp.us-east-1.amazonaws.com", "X-SES-MESSAGE-TAGS", f"mailqueue={MAIL.hex}"),
    ],
)
def test_a_provider_is_asked_to_echo_the_mails_id(host, name, value):
    message = parsed(written(full(echo=echo_of(host)), {"a": "x"}))
    assert message.keys() == [*EVERY_HEADER[:10], name, *EVERY_HEADER[10:]]
    assert message[name] == value


def test_a_message_with_its_own_header_for_the_provider_keeps_it():
    own = (("X-Smtpapi", "{}"),)
    message = parsed(written(full(headers=own, echo=echo_of("smtp.sendgrid.net")), {"a": "x"}))
    assert message.get_all("X-SMTPAPI") == ["{}"]


@given(ANY)
@settings(max_examples=100)
def test_no_sender_name_can_add_a_header(name):
    assert parsed(written(full(from_name=name), {"a": "x"})).keys() == EVERY_HEADER


@pytest.mark.parametrize(
    "changes",
    [
        {"from_address": "a@b.example\r\nBcc: x@y.example"},
        {"reply_to": ("a@b.example>, <x@y.example",)},
        {"message_id_domain": "x>\r\nBcc: a@b.example"},
        {"tracking_url": "javascript:alert(1)"},
        {"tracking_url": 'https://t.example"onclick="x'},
        {"feedback_id": "a\r\nb"},
        {"headers": (("Bcc", "a@b.example"),)},
        {"headers": (("X-A", "=?utf-8?q?=0D=0ABcc:_a?="),)},
    ],
)
def test_an_identity_that_could_break_a_header_is_refused(changes):
    with pytest.raises(InputInvalid):
        full(**changes)


def test_list_unsubscribe_is_one_unencoded_line_for_one_click():
    leave = f"unsubscribe+{'a' * 26}.{'b' * 16}@in.example"
    lines = written(FULL, {"a": "x"}, unsubscribe_mailto=leave).split(b"\r\n")

    expected = f"List-Unsubscribe: <mailto:{leave}>, <{BASE}/u/{UNSUBSCRIBE_TOKEN}>"
    assert expected.encode() in lines
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines


def test_without_an_inbound_domain_list_unsubscribe_is_the_url_alone():
    lines = written(FULL, {"a": "x"}).split(b"\r\n")

    assert f"List-Unsubscribe: <{BASE}/u/{UNSUBSCRIBE_TOKEN}>".encode() in lines


def test_a_coded_reply_to_stands_only_where_the_message_names_none():
    coded = f"r+{'a' * 26}.{'b' * 16}@in.example"
    with_own = parsed(written(full(reply_to=("me@b.example",)), {"a": "x"}, reply_to=coded))
    without = parsed(written(full(reply_to=()), {"a": "x"}, reply_to=coded))

    assert with_own.get_all("Reply-To") == ["me@b.example"]
    assert without.get_all("Reply-To") == [coded]


def test_message_id_and_bytes_are_the_same_over_retries():
    first = written(FULL, {"a": "x"})

    assert parsed(first)["Message-ID"] == f"<{MAIL.hex}@sender.example>"
    assert written(full(), {"a": "x"}) == first


def test_names_and_subjects_beyond_ascii_read_back():
    version = compiled(text="t", subject="Grüße, {{ a }}", from_name="Büro für Ähnliches")
    message = parsed(written(version, {"a": "Zoë 漢字" * 9}, to_name="Zoë Müller"))

    assert message["Subject"] == "Grüße, " + "Zoë 漢字" * 9
    assert message["From"].addresses[0].display_name == "Büro für Ähnliches"
    assert message["To"].addresses[0].display_name == "Zoë Müller"


def test_a_local_part_beyond_ascii_is_written_in_utf_8():
    raw = written(compiled(text="t"), to="zoë@rcpt.example")

    assert "To: zoë@rcpt.example\r\n".encode() in raw


@pytest.mark.parametrize("to", ["a@b.example\r\nBcc: x@y.example", "a b@c.example", "", "<a@b.c>"])
def test_an_address_that_is_none_is_refused(to):
    with pytest.raises(Unrenderable):
        compiled(text="t").slots(recipient(to=to))


def test_text_alone_makes_a_simple_message():
    message = parsed(written(compiled(text="Hello {{ a }}"), {"a": "é"}))

    assert message.get_content_type() == "text/plain"
    assert message.get_content().strip() == "Hello é"


def test_all_missing_variables_are_named_at_once():
    version = compiled(
        "{{ a }}{{ user.city }}{% for x in cart %}{{ x }}{% endfor %}{{ b|'ok' }}{{ a }}",
        subject="{{ s }}",
    )

    with pytest.raises(MissingVariables) as refused:
        version.slots(recipient({"user": {"street": "x"}}))
    assert set(refused.value.names) == {"s", "a", "user.city", "cart"}


@pytest.mark.parametrize("value", [None, [], {}, ["x"], {"x": 1}, object()])
def test_null_and_what_is_no_text_count_as_missing(value):
    with pytest.raises(MissingVariables):
        compiled(text="{{ a }}").slots(recipient({"a": value}))


def test_missing_names_inside_loops_are_named():
    with pytest.raises(MissingVariables) as refused:
        compiled(text="{% for x in cart %}{{ x.price }}{% endfor %}").slots(
            recipient({"cart": [{"price": 1}, {}]})
        )
    assert refused.value.names == ("x.price",)


@pytest.mark.parametrize(
    ("source", "variables", "expected"),
    [
        ("{{ a|'Customer' }}", {}, "Customer"),
        ("{{ a|'Customer' }}", {"a": ""}, "Customer"),
        ("{{ a|'Customer' }}", {"a": None}, "Customer"),
        ("{{ a|default(b)|upper }}", {"b": "x"}, "X"),
        ("{{ a|upper|default('x') }}", {}, "x"),
        ("{% if a %}1{% else %}2{% endif %}", {}, "2"),
        ("{% if a == 'x' %}1{% else %}2{% endif %}", {}, "2"),
        ("{% if a > 1 %}1{% else %}2{% endif %}", {"a": "x"}, "2"),
        ("{% if a < b %}1{% else %}2{% endif %}", {}, "2"),
        ("{% if a in b %}1{% else %}2{% endif %}", {"a": "x", "b": 5}, "2"),
        ("{% if 'x' in b %}1{% else %}2{% endif %}", {"b": ["x"]}, "1"),
        ("{{ a }}", {"a": True}, "true"),
        ("{{ a }}", {"a": 12}, "12"),
        ("{{ a|title }}", {"a": "o'neil SMITH-jones"}, "O'neil Smith-Jones"),
        ("{{ a|capitalize }}", {"a": "hELLO you"}, "Hello you"),
        ("{{ a|urlencode }}", {"a": "a b/é"}, "a%20b%2F%C3%A9"),
        ("{{ items[0].n }}{{ items[1].n }}{{ items[9]|'' }}", {"items": [{"n": 1}, {"n": 2}]}, "12"),
        ("{{ 1 }}{{ true }}", {}, "1true"),
        ("{% for x in l %}{{ x }}{% else %}none{% endfor %}", {"l": []}, "none"),
        ("{% for x in l %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}", {"l": [1, 2]},
         "1, 2"),
    ],
)  # fmt: skip
def test_the_language_means_what_it_says(source, variables, expected):
    assert content(written(compiled(text=source), variables), "plain").strip() == expected


@pytest.mark.parametrize(
    ("source", "variables"),
    [
        ("{% for x in l %}{{ a }}{% endfor %}", {"l": [1] * 900, "a": "x" * 2_000}),
        ("{% for x in l %}{% for y in l %}{% endfor %}{% endfor %}", {"l": [1] * 900}),
        ("{% for x in l %}{% endfor %}", {"l": [1] * 100_000}),
        ("{{ a }}" * 2_000, {"a": "x" * 10_000}),
        ("{{ a }}", {"a": "x" * 3_000_000}),
    ],
)
def test_output_bombs_are_refused(source, variables):
    with pytest.raises(Unrenderable):
        compiled(text=source).slots(recipient(variables))


def test_objects_are_never_looked_into():
    class Trap:
        city = "x"

    with pytest.raises(MissingVariables):
        compiled(text="{{ user.city }}").slots(recipient({"user": Trap()}))


def test_an_unsubscribe_link_without_its_token_is_reported():
    with pytest.raises(MissingVariables) as refused:
        compiled(text="{{ unsubscribeUrl }}").slots(recipient(unsubscribe_token=""))
    assert refused.value.names == ("unsubscribeUrl",)


def test_a_lead_cannot_replace_what_the_system_fills_in():
    raw = written(
        compiled("{{ unsubscribeUrl }}", track_opens=True),
        {"unsubscribeUrl": "https://evil.example", "_token": "x"},
    )

    assert "evil" not in content(raw, "html")
    assert MAIL_TOKEN in content(raw, "html")


def test_text_is_derived_from_html_with_its_variables_and_conditions():
    version = compiled(
        "<html><head><title>no</title><style>p{}</style></head><body><h1>Hi {{ a }}</h1>"
        "{% if vip %}<p>Thank you &amp; <b>welcome</b></p>{% endif %}"
        '<p><a href="https://x.example/{{ a }}">Read</a> &#123;&#123; a }}</p></body></html>'
    )
    shown = content(written(version, {"a": "Zoë", "vip": True}), "plain")

    assert shown.split("\n") == [
        "Hi Zoë", "", "Thank you & welcome", "", "[Read](https://x.example/Zoë) {{ a }}", "",
    ]  # fmt: skip


def test_slots_of_another_version_are_refused():
    version = compiled(text="{{ a }}")

    with pytest.raises(MessageMalformed):
        version.join(["x"], DATE)


def test_a_version_without_variables_has_only_the_slots_every_version_has():
    assert len(compiled("<p>x</p>").slots(recipient())) == 7


def test_two_mails_differ_only_in_their_slots():
    version = compiled("<p>{{ a }}</p>", track_opens=True)
    other = uuid.UUID(int=9)

    first = written(version, {"a": "x"})
    second = written(version, {"a": "x"}, email_id=other, mail_token=KEYS.mail_token(other, APP))

    assert len(first) == len(second)
    assert first != second


SLOT = st.sampled_from((".", "..x", "\r\n .", "\r\n.\r\n", "\n", "\r", "\0", "x" * 950, "ü", "a"))


@given(st.data())
@settings(max_examples=300)
def test_what_is_called_a_wire_form_is_one_whatever_its_slots_hold(data):
    source = "Hi {{ a }}{{ b }}\n{{ a }}.{{ b }}\n"
    version = compiled(html=f"<p>{source}</p>", text=source, subject="{{ a }}: {{ b }}")
    slots = version.slots(recipient({"a": "1", "b": "2"}))
    for place in data.draw(st.lists(st.integers(0, len(slots) - 1), max_size=2)):
        slots[place] = data.draw(SLOT)

    mail = version.join(slots, DATE)

    assert not isinstance(mail, WireForm) or wire_form(bytes(mail)) == mail


def test_an_ordinary_mail_needs_no_second_look_before_it_is_sent():
    version = compiled(html="<p>Hi {{ name }}</p>", subject="For {{ name }}")
    assert isinstance(version.join(version.slots(recipient({"name": "Zoë"})), DATE), WireForm)
