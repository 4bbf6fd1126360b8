"""A compiled version decodes to what Jinja2 itself renders, whatever the template and values."""

import html

import jinja2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.assembly.letters import compiled, content, parsed, written

NAMES = ("a", "b", "c")
HOSTILE = ("plain", "Zoë", ".", "..\r\n.", "a=b", "x" * 300, "漢字" * 60, "<b>&\"'", "tab\tend ",
           "=\r\n.\r\nQUIT", "ä" * 90, "", "{{ a }}", "\ud800", "a\x00b\x0bc", " ", "😀" * 20)  # fmt: skip

VALUES = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=120), st.integers(-9_999, 9_999), st.floats(-9, 9)
)
VARIABLES = st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES))
LITERALS = st.one_of(
    st.sampled_from(("\n", " ", ".", "\n.", "=", "é", "x" * 80, "<p>x</p>\n")),
    st.text(
        st.characters(codec="utf-8", max_codepoint=0xFFFFF, exclude_characters="{}\r"), max_size=90
    ),
)
PRINTS = st.sampled_from(
    [f"{{{{ {name}{end} }}}}" for name in NAMES for end in ("", "|upper", "|'x'", "|trim|lower")]
)
TESTS = st.sampled_from(("a", "not b", "a == b", "a and c", "a or b", "a != 'plain'"))


def branch(test, yes, no):
    return f"{{% if {test} %}}{yes}{{% elif b %}}{no}{{% else %}}-{{% endif %}}"


def loop(body):
    return f"{{% for x in items %}}{body}{{{{ x }}}}{{{{ loop.index }}}}{{% endfor %}}"


TEMPLATES = st.recursive(
    st.lists(st.one_of(LITERALS, PRINTS), max_size=6).map("".join),
    lambda inner: st.one_of(
        st.builds(branch, TESTS, inner, inner),
        st.builds(loop, st.lists(st.one_of(LITERALS, PRINTS), max_size=3).map("".join)),
        st.lists(inner, max_size=3).map("".join),
    ),
    max_leaves=6,
)


def oracle(source, variables):
    """Return what Jinja2 renders, with our rewrite of `|'x'` and our escaping done by hand."""
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False
    )
    environment.filters["default"] = lambda value, other: other if value == "" else value
    return environment.from_string(source.replace("|'x'", "|default('x')")).render(variables)


def cleaned(text):
    """Return text as a mail can carry it: LF line ends, no controls, no half characters."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(c for c in lines if c in "\n\t" or not (c < " " or c == "\x7f"))
    return kept.encode("utf-8", "replace").decode()


@given(TEMPLATES, VARIABLES, st.lists(VALUES, max_size=3))
@example("{{ a }}", {"a": "..\r\n.", "b": "", "c": ""}, [])
@settings(max_examples=150)
def test_the_text_part_reads_as_jinja2_renders_it(source, variables, items):
    variables |= {"items": items}
    source = cleaned(source)
    raw = written(compiled(text=f"|{source}|"), variables)

    assert content(raw, "plain").rstrip("\n") == cleaned(oracle(f"|{source}|", variables))


@given(TEMPLATES, VARIABLES)
@settings(max_examples=150)
def test_the_html_part_reads_the_same_with_values_escaped(source, variables):
    variables |= {"items": ["<", "é"]}
    source = f"|{cleaned(source)}|"
    raw = written(compiled(html=source, text="t"), variables)

    shown = content(raw, "html").rstrip("\n")
    assert html.unescape(shown) == html.unescape(cleaned(oracle(source, variables)))


@given(VARIABLES)
@settings(max_examples=100)
def test_values_in_html_stay_text(variables):
    raw = written(compiled(html="<p>{{ a }}{% if b %}{{ b }}{% endif %}</p>", text="t"), variables)

    inner = content(raw, "html").strip()[len("<p>") : -len("</p>")]
    assert not set(inner) & set("<>\"'")


@pytest.mark.parametrize("value", HOSTILE)
def test_segments_and_a_whole_passage_give_the_same_bytes_decoded(value):
    """The same source once as slots, once inside an `if` that is written and encoded whole."""
    source = "Hello {{ a }},\n.{{ a|upper }}{{ a }}\n" + "long " * 40 + "{{ a }}"
    slots = written(compiled(html=source, text=source), {"a": value})
    whole = f"{{% if yes %}}{source}{{% endif %}}"
    passage = written(compiled(html=whole, text=whole), {"a": value, "yes": True})

    assert content(slots, "plain") == content(passage, "plain")
    assert content(slots, "html") == content(passage, "html")


@given(VALUES, VALUES)
@settings(max_examples=100)
def test_a_subject_reads_as_one_line(first, second):
    raw = written(compiled(text="t", subject="A {{ a }} é {{ b }}"), {"a": first, "b": second})
    found = parsed(raw)["Subject"]

    expected = f"A {first} é {second}"
    if expected.isprintable():
        assert " ".join(found.split()) == " ".join(expected.split())
    assert found.isprintable() or not set(found) & set("\r\n\0")
