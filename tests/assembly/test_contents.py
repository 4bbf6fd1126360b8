"""One-off contents are stored once per app and found again by what they say."""

import pytest

from app.assembly.contents import version_for
from app.errors import TemplateInvalid
from tests.factories import make_app

HTML = '<p>Hi {{ name }}</p><a href="https://a.example/x">x</a><a href="mailto:b@c.example">b</a>'


@pytest.fixture
def app_id(session):
    return make_app(session).id


def test_the_same_content_has_one_version(session, app_id):
    first = version_for(session, app_id, "Hi", HTML, None)

    assert version_for(session, app_id, "Hi", HTML, "") == first
    assert version_for(session, app_id, "Hello", HTML, None) != first
    assert version_for(session, make_app(session).id, "Hi", HTML, None) != first


def test_variables_and_links_of_a_new_version_are_stored(session, app_id):
    version = version_for(session, app_id, "Hi", HTML, None)

    found = session.execute(
        "SELECT variables FROM template_versions WHERE id = %s", (version,)
    ).fetchone()
    links = session.execute(
        "SELECT position, destination FROM tracking_links WHERE template_version_id = %s",
        (version,),
    ).fetchall()
    assert found == (["name"],)
    assert links == [(1, "https://a.example/x")]


def test_content_that_cannot_be_used_is_refused_with_every_problem(session, app_id):
    with pytest.raises(TemplateInvalid) as refused:
        version_for(session, app_id, "{{ a() }}", "{{ b + 1 }}", None)

    assert [problem.part for problem in refused.value.problems] == ["subject", "html"]
    count = "SELECT count(*) FROM template_versions WHERE app_id = %s"
    assert session.execute(count, (app_id,)).fetchone() == (0,)


def test_what_postgresql_could_not_store_is_dropped(session, app_id):
    version = version_for(session, app_id, "a\0b", None, "x\ud800\r\ny\0")

    row = session.execute(
        "SELECT subject, body_text FROM template_versions WHERE id = %s", (version,)
    ).fetchone()
    assert row == ("ab", "x?\ny")
