"""The view inbox_message_refs: every message of the system, out and in, in one shape (seed 000).

Outbound rows are e-mails, inbound rows are what came back, with the campaign and account of the
e-mail they answer. security_invoker: row-level security of the reader holds, not of the owner.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UP = """
CREATE VIEW inbox_message_refs WITH (security_invoker = true) AS
SELECT id, app_id, company_id, campaign_id, lead_id, step_id, account_id AS email_account_id,
       'outbound' AS direction, status, message_id, created_at
FROM emails
UNION ALL
SELECT inbound.id, inbound.app_id, answered.company_id, answered.campaign_id, answered.lead_id,
       answered.step_id, answered.account_id, 'inbound', inbound.status, answered.message_id,
       inbound.created_at
FROM inbound_messages AS inbound
LEFT JOIN emails AS answered ON answered.id = inbound.email_id;

GRANT SELECT ON inbox_message_refs TO mailqueue_worker, mailqueue_api;
"""

DOWN = """
DROP VIEW inbox_message_refs;
"""


def upgrade() -> None:
    """Create the view."""
    op.execute(UP)


def downgrade() -> None:
    """Drop the view."""
    op.execute(DOWN)
