"""judge: what the clock has done every half minute. Senders are judged by what came back."""

from actors import runtime
from actors.declare import tick_actor
from app.analytics import conduct, standing
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


tick_actor(MAINTENANCE, judge_senders)
