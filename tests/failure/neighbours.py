"""One app's server hangs: how long the mails of another app take from release to sent."""

from tests.failure.office import Gate, Step
from tests.failure.stand import Campaign, Stand

MAILS, HANGING = 200, 64
# A hanging DATA is given up after 120 s: whoever waited for one would show it.
MOST_TIMES, MOST_MORE_S = 3.0, 5.0

_P99 = """
SELECT extract(epoch FROM percentile_disc(0.99) WITHIN GROUP (ORDER BY sent_at - queued_at))::float
FROM emails WHERE campaign_id = %s AND status = 'sent'"""


def hang_beside(stand: Stand) -> tuple[float, float]:
    """Return the p99 in seconds of an app alone, and of one beside an app whose server hangs.

    Workers and the clock run already. The hanging server is released at the end.
    """
    stand.until(stand.is_over, 120)
    alone = _p99(stand, "alone")
    hanging = stand.open_office()
    hanging.rules[Step.DATA] = Gate()
    stuck = stand.plan(HANGING, address="stuck{n}@example{k}.com")
    stand.ask(
        "UPDATE smtp_configs SET port = %s WHERE id = %s", (hanging.port, stuck.smtp_config_id)
    )
    stand.until(lambda: hanging.connections >= 8, 60)
    beside = _p99(stand, "beside")
    still_hanging = hanging.connections
    hanging.behave()
    hanging.released.set()
    if not still_hanging:
        stand.wrong.append("the hanging server had been left alone before the others were through")
    if beside > MOST_TIMES * alone + MOST_MORE_S:
        stand.wrong.append(f"p99 {beside:.2f} s beside a hanging app, {alone:.2f} s alone")
    stand.notes.append(f"p99 {alone:.2f} s alone, {beside:.2f} s beside {HANGING} hanging mails")
    return alone, beside


def _p99(stand: Stand, name: str) -> float:
    campaign: Campaign = stand.plan(
        MAILS, address=f"{name}{stand.campaigns}-{{n}}@example{{k}}.com"
    )
    stand.until(lambda: _sent(stand, campaign) == MAILS, 120)
    ((seconds,),) = stand.ask(_P99, (campaign.campaign_id,))
    return float(seconds)


def _sent(stand: Stand, campaign: Campaign) -> int:
    query = "SELECT count(*) FROM emails WHERE campaign_id = %s AND status = 'sent'"
    ((count,),) = stand.ask(query, (campaign.campaign_id,))
    return int(count)
