"""Links of a finished mail: tracked, signed, kept, and never led astray."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.assembly.links import numbered
from app.errors import TemplateInvalid
from tests.assembly.letters import (
    BASE,
    KEYS,
    MAIL,
    MAIL_TOKEN,
    UNSUBSCRIBE_TOKEN,
    compiled,
    content,
    written,
)
from tracking.tokens import agree


def test_a_fixed_link_is_signed_once_and_leads_to_its_destination():
    version = compiled('<a href="https://x.example/?a=1&amp;b=2">x</a>', track_clicks=True)

    found = re.search(f'{BASE}/c/([^/]+)/([^"]+)', content(written(version), "html"))
    assert found is not None
    link, mail = KEYS.read_link(found[2]), KEYS.read_mail(found[1])
    assert link is not None
    assert mail is not None
    assert link.url == "https://x.example/?a=1&b=2"
    assert mail.email_id == MAIL
    assert agree(mail, link)
    assert version.links == ((link.link_no, link.url),)


@pytest.mark.parametrize(
    ("href", "url"),
    [
        (
            "https://x.example/{{ a }}?b=1&amp;c={{ a|urlencode }}",
            "https://x.example/a%20b?b=1&c=a%20b",
        ),
        ("{{ u }}", "https://y.example/"),
        ("{% if u %}{{ u }}{% else %}https://z.example{% endif %}", "https://y.example/"),
    ],
)
def test_a_destination_with_variables_is_signed_per_mail(href, url):
    version = compiled(f'<a href="{href}">x</a>', track_clicks=True)
    raw = written(version, {"a": "a b", "u": "https://y.example/"})

    found = re.search(f'{BASE}/c/{MAIL_TOKEN}/([^"]+)', content(raw, "html"))
    assert found is not None
    link = KEYS.read_link(found[1])
    assert link is not None
    assert link.url == url
    assert len(version.links) == 1


PIECES = st.lists(
    st.sampled_from(
        ("<a ", "<p>", ">", "</a>", 'href="', "href='", "href=", "https://x.example/", '"', "'", " ",
         "{{ a }}", "{{ a|upper }}", "{% if a %}", "{% else %}", "{% endif %}", "{{ loop.index }}",
         "{% for x in l %}", "{% endfor %}", "<!--", "-->", "<style>", "</style>", "{# c #}",
         "{%- if a -%}", "{% raw %}{{ x }}{% endraw %}", "</body>", "é", "{{ unsubscribeUrl }}", "&",
         "data-mq-notrack", "mailto:", "#", "\n", "{{ a|default('\"') }}", "{{ x }}")
    ),
    max_size=25,
).map("".join)  # fmt: skip


@given(PIECES)
@settings(max_examples=300)
def test_whatever_is_accepted_compiles_and_is_written(html):
    try:
        version = compiled(html, track_clicks=True, track_opens=True, unsubscribe=True)
    except TemplateInvalid:
        return

    written(version, {"a": "<&é", "l": ["1", "2"], "x": "y"})


def test_links_are_numbered_the_same_before_and_after_compiling():
    html = '<a href="https://x.example">x</a><a href="#y">y</a><a href="https://z.example/{{ a }}">'

    found = numbered(html)

    assert found == compiled(html, text="t", track_clicks=True).links
    assert found == ((1, "https://x.example"), (2, "https://z.example/{{ a }}"))


def test_a_link_may_use_the_loop_it_stands_in():
    version = compiled(
        '{% for x in l %}<a href="https://x.example/{{ loop.index }}">x</a>{% endfor %}',
        track_clicks=True,
    )
    shown = content(written(version, {"l": ["a", "b"]}), "html")

    links = [KEYS.read_link(token) for token in re.findall(r"/c/[^/]+/([^\"]+)", shown)]
    assert [link and link.url for link in links] == ["https://x.example/1", "https://x.example/2"]


def test_links_inside_conditions_and_loops_are_tracked():
    version = compiled(
        '{% if a %}<a href="https://x.example">x</a>{% endif %}'
        '{% for u in l %}<a href="https://y.example/{{ u }}">y</a>{% endfor %}',
        track_clicks=True,
    )
    shown = content(written(version, {"a": 1, "l": ["1", "2"]}), "html")

    links = [KEYS.read_link(token) for token in re.findall(r"/c/[^/]+/([^\"]+)", shown)]
    assert [link and link.url for link in links] == [
        "https://x.example", "https://y.example/1", "https://y.example/2",
    ]  # fmt: skip


@pytest.mark.parametrize("value", ["javascript:alert(1)", "mailto:a@b.example", '"><script>', ""])
def test_a_variable_destination_that_is_no_web_link_stays_as_it_is(value):
    version = compiled('<a href="{{ u }}">x</a>', track_clicks=True)
    shown = content(written(version, {"u": value}), "html")

    assert "/c/" not in shown
    assert "<script>" not in shown


@pytest.mark.parametrize(
    "html",
    [
        '<!--[if mso]><a href="https://x.example/{{ a }}">x</a><![endif]-->',
        '<a href="mailto:{{ a }}@b.example">x</a>',
        '<a href="#{{ a }}">x</a>',
        '<a data-mq-notrack href="https://x.example/{{ a }}">x</a>',
        '<a title="{{ a|default("<x>") }}" href="#top">x</a>',
    ],
)
def test_other_links_keep_their_bytes(html):
    version = compiled(html, track_clicks=True, text="t")
    shown = content(written(version, {"a": "y"}), "html").strip()

    assert shown == re.sub(r"\{\{ a.*?\}\}", "y", html)
    assert version.links == ()


def test_the_pixel_carries_the_mail_token_at_the_end_of_the_body():
    shown = content(written(compiled("<body>x</body>", track_opens=True)), "html")

    assert f'<img src="{BASE}/t/{MAIL_TOKEN}.gif"' in shown
    assert shown.strip().endswith('style="display:block"></body>')


def test_without_tracking_the_html_is_what_was_written():
    html = '<p><a href="https://x.example">x</a></p></body>'

    assert content(written(compiled(html)), "html").strip() == html


@pytest.mark.parametrize(
    "source",
    [
        '<a href="{{ unsubscribeUrl }}">x</a>',
        '<a href="{{unsubscribeUrl}}">x</a>',
        '{% if 1 %}<a href="{{ unsubscribeUrl }}">x</a>{% endif %}',
    ],
)
def test_the_unsubscribe_link_is_never_click_tracked(source):
    raw = written(compiled(source, track_clicks=True))

    assert f'href="{BASE}/u/{UNSUBSCRIBE_TOKEN}"' in content(raw, "html")
    assert f"{BASE}/u/{UNSUBSCRIBE_TOKEN}" in content(raw, "plain")
