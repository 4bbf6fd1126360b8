import csv

import pytest

from app.campaigns.leads_import import LeadFile, import_csv
from app.errors import InputInvalid
from app.policy import suppression
from app.policy.suppression import Reason
from app.privacy import address_hash
from tests.factories import PEPPER, make_app, make_lead


@pytest.fixture
def app_id(session):
    return make_app(session).id


@pytest.fixture
def leads_file(tmp_path):
    def write(*lines):
        path = tmp_path / "leads.csv"
        path.write_text("\n".join(lines) + "\n")
        return LeadFile(path=path, pepper=PEPPER)

    return write


def count(session, app_id):
    statement = "SELECT count(*) FROM leads WHERE app_id = %s"
    return session.execute(statement, (app_id,)).fetchone()[0]


def test_rows_become_leads(session, app_id, leads_file):
    file = leads_file("email,first_name,timezone,user.city", "a@x.org,Ana,Europe/Berlin,Ulm")
    result = import_csv(session, app_id, file)
    assert (result.rows, result.added, result.rejects_path) == (1, 1, None)
    columns = "SELECT email, timezone, variables, email_hash, status FROM leads WHERE app_id = %s"
    assert session.execute(columns, (app_id,)).fetchone() == (
        "a@x.org",
        "Europe/Berlin",
        {"first_name": "Ana", "user": {"city": "Ulm"}},
        address_hash("a@x.org", PEPPER),
        "active",
    )


def test_rejected_rows_are_counted_and_written_with_line_and_reason(session, app_id, leads_file):
    make_lead(session, app_id, "old@x.org")
    gone = address_hash("gone@x.org", PEPPER)
    suppression.add(session, app_id, gone, email=None, reason=Reason.COMPLAINT)
    file = leads_file(
        "email,timezone",
        "new@x.org,",
        "NEW@x.org,",
        "old@x.org,",
        "gone@x.org,",
        "nobody,",
        "zone@x.org,Mars/Base",
    )
    result = import_csv(session, app_id, file)
    assert (result.rows, result.added, result.duplicates) == (6, 1, 2)
    assert (result.invalid, result.suppressed) == (2, 1)
    with result.rejects_path.open(newline="") as source:
        rejects = list(csv.DictReader(source))
    assert [(int(r["line"]), r["email"]) for r in rejects] == [
        (3, "NEW@x.org"),
        (4, "old@x.org"),
        (5, "gone@x.org"),
        (6, "nobody"),
        (7, "zone@x.org"),
    ]
    assert [r["reason"].split(":")[0] for r in rejects[:3]] == [
        "duplicate of line 2",
        "duplicate",
        "suppressed",
    ]
    assert "not an e-mail address" in rejects[3]["reason"]
    assert "'Mars/Base' is unknown" in rejects[4]["reason"]


def test_a_second_import_adds_nothing(session, app_id, leads_file):
    file = leads_file("email", *(f"p{i}@x.org" for i in range(50)))
    assert import_csv(session, app_id, file).added == 50
    again = import_csv(session, app_id, file)
    assert (again.added, again.duplicates, count(session, app_id)) == (0, 50, 50)


def test_another_app_has_its_own_leads(session, app_id, leads_file):
    file = leads_file("email", "a@x.org")
    import_csv(session, app_id, file)
    assert import_csv(session, make_app(session).id, file).added == 1


def test_a_broken_file_imports_nothing(session, app_id, leads_file):
    file = leads_file("email,name", *(f"p{i}@x.org,x" for i in range(5_000)), 'q@x.org,"open')
    with pytest.raises(InputInvalid, match="Line 5002"):
        import_csv(session, app_id, file)
    assert count(session, app_id) == 0
    assert import_csv(session, app_id, leads_file("email", "a@x.org")).added == 1


def test_a_missing_file_is_said_so(session, app_id, tmp_path):
    with pytest.raises(InputInvalid, match="No such file"):
        import_csv(session, app_id, LeadFile(path=tmp_path / "none.csv", pepper=PEPPER))


def test_progress_is_reported_as_it_goes(session, app_id, leads_file):
    file = leads_file("email", *(f"p{i}@x.org" for i in range(4_500)))
    seen = []
    import_csv(session, app_id, file, lambda rows, size: seen.append((rows, size)))
    assert [rows for rows, _ in seen] == [2_000, 4_000, 4_500]
    assert seen[-1][1] == file.path.stat().st_size
