"""judge: what the clock has done every minute. What came back decides what goes on.

Senders are judged, and the first mails of campaigns that are released in stages.
"""

from actors import runtime
from actors.declare import tick_actor
from app.analytics import conduct, standing
from app.campaigns import brakes, stages
from app.campaigns.staging import Phase
from app.clock import utc_now
from app.config import settings
from app.log import Event, logger
from app.policy.reputation import Level
from app.queueing.payloads import TickPayload
from app.queueing.steps import MAINTENANCE


def judge_senders(payload: TickPayload) -> None:
    """Judge the senders of every app with something new against it; each app in a transaction."""
    del payload
    session, limits = runtime.session(), standing.thresholds(settings())
    for app_id in conduct.to_judge(session, utc_now()):
        for change in standing.judge_app(session, app_id, limits, utc_now()):
            say = logger().error if change.after.level is Level.HELD else logger().warning
            say(
                Event.SENDER_JUDGED,
                app_id=str(app_id),
                sender=str(change.sender_id),
                level=str(change.after.level),
                reason=change.after.reason,
            )


def watch_stages(payload: TickPayload) -> None:
    """Let campaigns go on, or brake them, by what their first mails met with."""
    del payload
    session, limits = runtime.session(), standing.thresholds(settings())
    for app_id, campaign_id, name in stages.moving(session):
        decided = brakes.watch(session, app_id, name, limits, utc_now())
        if decided is not None:
            say = logger().warning if decided.phase is Phase.BRAKED else logger().info
            say(
                Event.STAGE_MOVED,
                campaign=str(campaign_id),
                phase=str(decided.phase),
                reason=decided.reason,
            )


tick_actor(MAINTENANCE, judge_senders)
tick_actor(MAINTENANCE, watch_stages)
