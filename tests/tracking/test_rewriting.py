"""Rewriting changes the values of trackable hrefs and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.rewriting import destination, hrefs, insert_pixel, replace_links

HTML_TEXT = st.text(
    st.one_of(st.sampled_from("<>\"'=/ !-a&;#"), st.characters(codec="utf-8")), max_size=200
)
MSO = '<!--[if mso]><v:roundrect href="https://x.example"><a href="https://y.example"><![endif]-->'


def tracked(source):
    return replace_links(source, lambda value: "T" if destination(value) else None)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('<a href="https://x.example/">x</a>', '<a href="T">x</a>'),
        ("<a href='https://x.example/'>x</a>", '<a href="T">x</a>'),
        ("<a href=https://x.example/>x</a>", '<a href="T">x</a>'),
        ('<A class="b" HREF = "HTTPS://x.example">x</A>', '<A class="b" HREF = "T">x</A>'),
        ('<a\n  href="https://x.example"\n>x</a>', '<a\n  href="T"\n>x</a>'),
        ('<area shape="rect" href="http://x.example">', '<area shape="rect" href="T">'),
        ('<a title="a > b" href="https://x.example">', '<a title="a > b" href="T">'),
        ('<a href=" https://x.example ">', '<a href="T">'),
    ],
)
def test_web_links_are_replaced_in_every_spelling(source, expected):
    assert tracked(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '<a href="mailto:a@b.example">x</a>',
        '<a href="tel:+4930123">x</a>',
        '<a href="#top">x</a>',
        '<a href="/relative">x</a>',
        '<a href="javascript:alert(1)">x</a>',
        '<a href="">x</a>',
        "<a href>x</a>",
        '<a data-mq-notrack href="https://x.example">x</a>',
        '<a href="https://x.example" DATA-MQ-NOTRACK>x</a>',
        '<a href="https://user:pw@x.example">x</a>',
        '<img src="https://x.example/i.png">',
        '<link href="https://x.example/s.css">',
        '<abbr href="https://x.example">',
        '<!-- <a href="https://x.example"> -->',
        MSO,
        "<style>a[href='https://x.example'] {}</style>",
        "<script>\"<a href='https://x.example'>\"</script>",
        '<title><a href="https://x.example"></title>',
        "<a title=\"<a href='https://x.example'>\">x</a>",
        'text <a href="https://x.example',
    ],
)
def test_everything_else_stays_byte_for_byte(source):
    assert tracked(source) == source


def test_links_between_downlevel_revealed_comments_are_tracked():
    source = '<!--[if !mso]><!--><a href="https://x.example">x</a><!--<![endif]-->'

    assert tracked(source) == '<!--[if !mso]><!--><a href="T">x</a><!--<![endif]-->'


def test_entities_in_a_destination_are_decoded_but_look_alikes_are_not():
    source = '<a href="https://x.example/?a=1&amp;b=2&copy=3&#38;d=4">'

    assert [href.value for href in hrefs(source)] == ["https://x.example/?a=1&b=2&copy=3&d=4"]


@given(HTML_TEXT)
def test_without_replacements_nothing_changes(source):
    assert replace_links(source, lambda _value: None) == source


@given(HTML_TEXT)
def test_a_pixel_is_inserted_once_and_nothing_is_lost(source):
    found = insert_pixel(source, "<pixel>")

    place = found.index("<pixel>")
    assert found[:place] + found[place + len("<pixel>") :] == source


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<body>x</body></html>", "<body>x*</body></html>"),
        ("<BODY>x</BODY >", "<BODY>x*</BODY >"),
        ("x</html>", "x*</html>"),
        ("x", "x*"),
        ("<body>x</body><!-- </body> -->", "<body>x*</body><!-- </body> -->"),
    ],
)
def test_the_pixel_stands_at_the_end_of_the_body(source, expected):
    assert insert_pixel(source, "*") == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://x.example", "https://x.example"),
        ("HTTP://x.example:8080/p?q#f", "HTTP://x.example:8080/p?q#f"),
        ("https://x.example/a b", "https://x.example/a%20b"),
        ("https://x.example/é", "https://x.example/%C3%A9"),
        ("https://x.example/%20%zz", "https://x.example/%20%zz"),
        ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
        ("https://Bücher.example:8080", "https://xn--bcher-kva.example:8080"),
        ('https://x.example/"<>', "https://x.example/%22%3C%3E"),
    ],
)
def test_web_destinations_are_accepted_and_encoded(url, expected):
    assert destination(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x.example",
        "javascript:alert(1)",
        "//x.example",
        "https://",
        "https:///path",
        "https://user@x.example",
        "https://user:pw@x.example",
        "https://x.example@evil.example",
        "https://x.example\\@evil.example",
        "https://x.example/\r\nSet-Cookie: a=b",
        "https://x.example/\x00",
        "https://x.example:99999",
        "https://\u2028.example/",
        "https://[::1",
        "https://x.example/" + "a" * 2_048,
    ],
)
def test_other_destinations_are_refused(url):
    assert destination(url) is None


@given(st.text(max_size=100))
def test_an_accepted_destination_is_accepted_again_unchanged(tail):
    url = destination("https://x.example/" + tail)

    assert url is None or (destination(url) == url and url.isascii())
