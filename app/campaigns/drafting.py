"""Store what a definition says, with every name it mentions looked up first."""

from uuid import UUID

from psycopg.types.json import Jsonb

from app.campaigns import stages, templates
from app.campaigns.definition import CampaignDefinition, StepPart
from app.db.session import Session
from app.ids import new_id
from app.tenancy import email_accounts, queues

_INSERT = """
INSERT INTO campaigns (id, app_id, queue_id, name, scheduled_at, timezone, uses_lead_timezone,
  window_days, window_start, window_end, priority, tracks_opens, tracks_clicks, audience)
VALUES (%(id)s, %(app)s, %(queue)s, %(name)s, %(scheduled)s, %(timezone)s, %(lead_timezone)s,
  %(days)s, %(start)s, %(end)s, %(priority)s, %(opens)s, %(clicks)s, %(audience)s)"""


def store(session: Session, app_id: UUID, definition: CampaignDefinition) -> UUID:
    """Insert a campaign with its accounts, steps and variants; call inside a transaction.

    Raises NotFound naming the queue, account or template that is missing.
    """
    campaign_id = new_id()
    binds = {
        "id": campaign_id,
        "app": app_id,
        "queue": queues.get_by_name(session, app_id, definition.queue).id,
        "name": definition.name,
        "scheduled": definition.starts_at(),
        "timezone": definition.timezone,
        "lead_timezone": definition.use_lead_timezone,
        "days": sorted(definition.window.days),
        "start": definition.window.start,
        "end": definition.window.end,
        "priority": definition.priority,
        "opens": definition.track_opens,
        "clicks": definition.track_clicks,
        "audience": Jsonb(definition.audience_variables()),
    }
    session.execute(_INSERT, binds)
    if staged := definition.staged_release:
        wait_s = staged.wait_minutes * 60
        stages.store(
            session, app_id, campaign_id, percent=staged.percent, least=staged.least, wait_s=wait_s
        )
    for position, address in enumerate(dict.fromkeys(definition.accounts), 1):
        account = email_accounts.get_by_address(session, app_id, address)
        session.execute(_INSERT_ACCOUNT, (campaign_id, account.id, app_id, position))
    for position, step in enumerate(definition.steps, 1):
        _store_step(session, app_id, campaign_id, position, step)
    return campaign_id


_INSERT_ACCOUNT = """
INSERT INTO campaign_accounts (campaign_id, account_id, app_id, position)
VALUES (%s, %s, %s, %s)"""
_INSERT_STEP = """
INSERT INTO campaign_sequence_steps (id, app_id, campaign_id, position, wait_duration_hours)
VALUES (%s, %s, %s, %s, %s)"""
_INSERT_VARIANT = """
INSERT INTO campaign_step_variants (id, app_id, step_id, template_version_id, weight)
VALUES (%s, %s, %s, %s, %s)"""


def _store_step(
    session: Session, app_id: UUID, campaign_id: UUID, position: int, step: StepPart
) -> None:
    step_id = new_id()
    hours = step.wait_duration_hours
    session.execute(_INSERT_STEP, (step_id, app_id, campaign_id, position, hours))
    for content in step.contents():
        version = templates.get(session, app_id, content.template, content.version)
        values = (new_id(), app_id, step_id, version.id, content.weight)
        session.execute(_INSERT_VARIANT, values)
