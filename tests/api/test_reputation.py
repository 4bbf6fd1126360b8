"""How senders stand, over HTTP, and a release by a key."""

from app.analytics import standing
from app.clock import utc_now
from app.lifecycle.events import Delta, count
from app.policy.reputation import Thresholds
from tests.api.conftest import Desk
from tests.factories import make_account


def test_a_held_app_is_shown_with_its_figures_and_released(desk: Desk):
    me = desk.person()
    account_id = make_account(desk.session, me.app_id).id
    dimensions = dict.fromkeys(("queue_id", "campaign_id", "step_id"))
    dimensions |= {"app_id": me.app_id, "account_id": account_id}
    counts = [Delta(kind=k, n=n, **dimensions) for k, n in (("sent", 900), ("complained", 9))]
    count(desk.session, counts)
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
