"""What a template may say, and how a refusal reads: part, line, what is wrong, what to write."""

import pytest

from app.assembly.draft import MAX_SOURCE, parse
from app.errors import TemplateInvalid


def problems(html="<p>x</p>", subject="s", text="t"):
    with pytest.raises(TemplateInvalid) as refused:
        parse(subject, html, text)
    return refused.value.problems


REFUSED = [
    "{{ f() }}",
    "{{ name.upper() }}",
    "{{ range(9) }}",
    "{{ a + b }}",
    "{{ 'A' * 300000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ -a }}",
    "{{ a ~ b }}",
    "{{ a % b }}",
    "{{ [1, 2] }}",
    "{{ {'a': 1} }}",
    "{{ (1, 2) }}",
    "{{ a[1:2] }}",
    "{{ a[b] }}",
    "{{ a.__class__ }}",
    "{{ a['__class__'] }}",
    "{{ __class__ }}",
    "{{ _token }}",
    "{{ _link_1 }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ a|attr('b') }}",
    "{{ a|safe }}",
    "{{ a|center(900000000) }}",
    "{{ a|upper(1) }}",
    "{{ a|default }}",
    "{{ a|default(b=1) }}",
    "{{ a|default(*b) }}",
    "{{ a|default(f()) }}",
    "{{ a if b else c }}",
    "{{ a is defined }}",
    "{{ loop.index }}",
    "{{ 1000000000000000 }}",
    "{{ 1e999 }}",
    "{% set a = 1 %}",
    "{% set a %}x{% endset %}",
    "{% include 'a' %}",
    "{% import 'a' as b %}",
    "{% from 'a' import b %}",
    "{% extends 'a' %}",
    "{% block a %}{% endblock %}",
    "{% macro a() %}{% endmacro %}",
    "{% call a() %}{% endcall %}",
    "{% filter upper %}x{% endfilter %}",
    "{% for a in range(9) %}{% endfor %}",
    "{% for a in 'abc' %}{% endfor %}",
    "{% for a in b|upper %}{% endfor %}",
    "{% for a, b in c %}{% endfor %}",
    "{% for a in b if a %}{% endfor %}",
    "{% for a in b recursive %}{% endfor %}",
    "{% for a in b %}{% for c in a %}{% for d in c %}{% endfor %}{% endfor %}{% endfor %}",
    "{% if a < b < c %}x{% endif %}",
    "{% if f() %}x{% endif %}",
    "{% do a %}",
    "{% autoescape false %}{{ a }}{% endautoescape %}",
    "{% trans %}a{% endtrans %}",
    "{% with a = 1 %}{% endwith %}",
    "{% if a %}",
    "{{ a",
    "{# a",
    "{{ }}",
    "{{ a|'b'|'c }}",
]


@pytest.mark.parametrize("part", ["html", "subject", "text"])
@pytest.mark.parametrize("source", REFUSED)
def test_what_is_not_listed_is_refused_on_its_line(source, part):
    found = problems(**{part: "x\nx\n" + source})

    assert {problem.part for problem in found} == {part}
    assert {problem.line for problem in found} == {3}
    assert all(problem.what for problem in found)


def test_every_problem_is_reported_at_once():
    found = problems(
        subject="{{ a|uper }}",
        html="{{ f() }}\n\n{% if g() %}{{ 1 + 1 }}\n{% else %}{{ a|safe }}{% endif %}",
        text="\n{{ b|titel }}",
    )

    assert [(problem.part, problem.line) for problem in found] == [
        ("subject", 1), ("html", 1), ("html", 3), ("html", 3), ("html", 4), ("text", 2),
    ]  # fmt: skip


def test_a_misspelt_filter_gets_a_suggestion():
    assert problems(html="{{ a|uper }}")[0].fix == "Did you mean upper?"


def test_a_strange_filter_gets_the_list():
    assert "urlencode" in problems(html="{{ a|xyzzy }}")[0].fix


@pytest.mark.parametrize(
    "source",
    [
        "{{ name }}",
        "{{name|'Customer'}}",
        '{{ name | "Customer" }}',
        "{{ name | default('x') }}",
        "{{ name | d(other) }}",
        "{{ user.address.city }}",
        "{{ user['first name'] }}",
        "{{ items[0].title }}",
        "{{ a|trim|upper|default('x')|e }}",
        "{% if a %}x{% elif not b and (c or d) %}y{% else %}z{% endif %}",
        "{% if a == 'x' or a in b or a not in b or a >= 1 %}y{% endif %}",
        "{% for x in list %}{{ loop.index }} {{ x.title }}{% else %}none{% endfor %}",
        "{% raw %}{{ f() }}{% endraw %}",
        "{# a comment #}",
        "{{ 'text' }}",
    ],
)
def test_the_language_is_accepted(source):
    parse("s", f"<p>{source}</p>", None)


@pytest.mark.parametrize(
    ("subject", "html", "text", "part"),
    [
        ("", "<p>x</p>", "t", "subject"),
        ("s", None, None, "html"),
        ("s", "  \n", "", "html"),
        ("s", "x" * (MAX_SOURCE + 1), None, "html"),
        ("s" * 3_000, "x", None, "subject"),
        ("s", "x\U00100000", None, "html"),
    ],
)
def test_empty_huge_or_odd_templates_are_refused(subject, html, text, part):
    assert problems(html=html, subject=subject, text=text)[0].part == part


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "(" * 9_000 + "a" + ")" * 9_000 + " }}",
        "{{ " + "not " * 9_000 + "a }}",
        "{{ a" + ".b" * 9_000 + " }}",
        "{{ a" + "|upper" * 9_000 + " }}",
        "{{ " + "9" * 9_000 + " }}",
        "{% if a %}" * 400 + "{% endif %}" * 400,
        "{{ a }}" * 9_000,
        "{{ 'a" + "a" * 9_000 + "' }}",
    ],
)
def test_template_bombs_are_refused(source):
    assert problems(html=source)


def test_variables_are_named_once_without_loop_and_system_names():
    draft = parse(
        "{{ name }} {{ plan|'x' }}",
        "{{ name }}{% for item in cart %}{{ item.title }}{{ loop.index }}{{ shop }}{% endfor %}"
        "{% if vip %}{{ user.city }}{% endif %}{{ unsubscribeUrl }}",
        "t",
    )

    assert draft.variables == ("name", "plan", "cart", "shop", "vip", "user.city")


def test_a_text_part_that_cannot_be_derived_is_asked_for():
    found = problems(html="<a {% if x %}title='a'>{% else %}title='b'>{% endif %}x</a>", text=None)

    assert found[0].part == "text"
    assert "Write the text part yourself." in found[0].fix
