import threading

import pytest

from app.assembly.contents import Content
from app.campaigns import templates
from app.db import session as db
from app.errors import InputInvalid, NotFound, TemplateInvalid
from tests.factories import AUTHOR, make_app

HELLO = Content(subject="Hello {{firstName}}", html="<p>{{ company }}</p>")


@pytest.fixture
def app_id(session):
    return make_app(session).id


def save(session, app_id, content=HELLO, name="hello"):
    return templates.save(session, app_id, name, content, AUTHOR)


def test_a_saved_template_is_read_back(session, app_id):
    saved = save(session, app_id)
    assert (saved.version, saved.variables, saved.is_unchanged) == (
        1,
        ("firstName", "company"),
        False,
    )
    assert templates.get(session, app_id, "hello") == saved


def test_changed_content_is_the_next_version(session, app_id):
    first = save(session, app_id)
    changed = Content(subject="Bye", text="Bye")
    assert save(session, app_id, changed).version == 2
    assert templates.get(session, app_id, "hello").content == changed
    assert templates.get(session, app_id, "hello", 1).id == first.id


def test_the_same_content_again_is_the_same_version(session, app_id):
    first = save(session, app_id)
    again = save(session, app_id)
    assert (again.id, again.version, again.is_unchanged) == (first.id, 1, True)


def test_a_broken_template_is_not_stored(session, app_id):
    with pytest.raises(TemplateInvalid, match="html line 2"):
        save(session, app_id, Content(subject="x", html="<p>\n{% if a %}</p>"))
    assert templates.list_latest(session, app_id) == []
    left = session.execute("SELECT count(*) FROM templates WHERE app_id = %s", (app_id,))
    assert left.fetchone() == (0,)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_a_template_needs_a_name(session, app_id, name):
    with pytest.raises(InputInvalid):
        save(session, app_id, name=name)


def test_a_missing_template_suggests_the_nearest(session, app_id):
    save(session, app_id)
    with pytest.raises(NotFound, match="Did you mean 'hello'"):
        templates.get(session, app_id, "helo")
    with pytest.raises(NotFound, match="version 9"):
        templates.get(session, app_id, "hello", 9)


def test_another_apps_templates_are_not_seen(session, app_id):
    save(session, app_id)
    other = make_app(session).id
    with pytest.raises(NotFound):
        templates.get(session, other, "hello")


def test_the_latest_of_every_template_is_listed_by_name(session, app_id):
    save(session, app_id, name="b")
    save(session, app_id, Content(subject="x", text="x"), name="b")
    save(session, app_id, name="a")
    listed = templates.list_latest(session, app_id)
    assert [(found.name, found.version) for found in listed] == [("a", 1), ("b", 2)]


def test_where_links_lead_is_stored_by_number(session, app_id):
    html = '<a href="https://a.org/x">a</a> <a href="mailto:b@c.org">b</a> <a href="https://c.org">c</a>'
    saved = save(session, app_id, Content(subject="x", html=html))
    found = session.execute(
        "SELECT position, destination FROM tracking_links WHERE template_version_id = %s "
        "ORDER BY position",
        (saved.id,),
    ).fetchall()
    assert found == [(1, "https://a.org/x"), (2, "https://c.org")]


def test_two_saves_at_once_get_two_versions(session, app_id, database):
    save(session, app_id)
    made = []

    def change(subject):
        with db.connect(database) as own:
            made.append(save(own, app_id, Content(subject=subject, text="x")).version)

    threads = [threading.Thread(target=change, args=(f"{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [2, 3, 4, 5]


def test_a_save_is_audited(session, app_id):
    save(session, app_id)
    statement = (
        "SELECT action FROM audit_logs WHERE target_kind = 'template_version' AND app_id = %s"
    )
    assert session.execute(statement, (app_id,)).fetchone() == ("template.saved",)
