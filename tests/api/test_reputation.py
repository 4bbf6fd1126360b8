"""How senders stand, over HTTP, and a release by a key."""

from app.analytics import standing
from app.clock import utc_now
from app.policy.reputation import Thresholds
from tests.api.conftest import Desk
from tests.factories import count_mails, make_account


def test_a_held_app_is_shown_with_its_figures_and_released(desk: Desk):
    me = desk.person()
    account_id = make_account(desk.session, me.app_id).id
    count_mails(desk.session, me.app_id, account_id, sent=900, complained=9)
    standing.judge_app(desk.session, me.app_id, Thresholds(), utc_now())

    found = {one["sender_id"]: one for one in me.get("/v1/reputation/senders")["data"]}
    assert found.keys() == {str(account_id), str(me.app_id)}
    held = found[str(me.app_id)]
    assert (held["level"], held["address"], held["rule"]) == ("held", None, "complaints.hold")
    assert held["figures"]["24 h"]["complained"] == 9
    assert me.get("/v1/analytics/reputation")["data"][0]["complaint_rate"] == 0.01

    path = f"/v1/reputation/senders/{me.app_id}/release"
    assert me.post(path)["level"] == "good"
    assert me.ask("POST", path).status_code == 409
    entries = me.get("/v1/audit-logs?action=app.released")["data"]
    assert [entry["target_id"] for entry in entries] == [str(me.app_id)]
