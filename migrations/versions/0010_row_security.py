"""Row-level security: mailqueue_api sees only the app named by mailqueue.app_id (TRUST.md).

Nothing named = no rows: a setting that was local to an earlier transaction reads as '' afterwards,
hence nullif. FORCE holds for the owner, too, who as a member of mailqueue_worker falls under its
policy. Rights are given on parents only: a partition cannot be read around its parent's policy.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Tables without a tenant (claim_checks) are the workers' own: the API gets no right on them.
TENANT_TABLES = (
    "api_keys",
    "app_reputation",
    "attachments",
    "batches",
    "campaign_accounts",
    "campaign_sequence_steps",
    "campaign_step_variants",
    "campaigns",
    "companies",
    "dead_letters",
    "email_accounts",
    "email_events",
    "email_stat_deltas",
    "email_stats",
    "emails",
    "enrolments",
    "gdpr_requests",
    "idempotency_keys",
    "inbound_messages",
    "inbox_message_content",
    "leads",
    "messages",
    "queues",
    "released_chunks",
    "scheduled_jobs",
    "smtp_configs",
    "suppression_list",
    "template_versions",
    "templates",
    "tracking_links",
    "users",
    "webhook_deliveries",
    "webhook_endpoints",
)

CURRENT_APP = """
CREATE FUNCTION mailqueue_current_app() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('mailqueue.app_id', true), '')::uuid;
"""

CONFINE = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON {table} TO mailqueue_worker USING (true) WITH CHECK (true);
CREATE POLICY api_sees_its_app ON {table} TO mailqueue_api
    USING ({column} = mailqueue_current_app()) WITH CHECK ({column} = mailqueue_current_app());
GRANT {rights} ON {table} TO mailqueue_worker;
GRANT {api_rights} ON {table} TO mailqueue_api;
"""

# An app may read what is suppressed for every app, and not touch it.
GLOBAL_SUPPRESSIONS = """
CREATE POLICY api_reads_global ON suppression_list FOR SELECT TO mailqueue_api
    USING (app_id IS NULL AND mailqueue_current_app() IS NOT NULL);
"""

UNCONFINED = """
GRANT SELECT, INSERT, UPDATE, DELETE ON claim_checks TO mailqueue_worker;
GRANT SELECT ON alembic_version TO mailqueue_worker, mailqueue_api;
"""

RELEASE = """
DROP POLICY api_sees_its_app ON {table};
DROP POLICY worker_sees_all ON {table};
ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;
ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;
REVOKE ALL ON {table} FROM mailqueue_api, mailqueue_worker;
"""

ALL_RIGHTS = "SELECT, INSERT, UPDATE, DELETE"
APPEND_ONLY = "SELECT, INSERT"


def upgrade() -> None:
    """Confine every tenant table and hand out the rights."""
    op.execute(CURRENT_APP)
    _confine("apps", column="id", api_rights="SELECT, UPDATE")
    _confine("audit_logs", rights=APPEND_ONLY, api_rights=APPEND_ONLY)
    for table in TENANT_TABLES:
        _confine(table)
    op.execute(GLOBAL_SUPPRESSIONS)
    op.execute(UNCONFINED)


def downgrade() -> None:
    """Drop the policies and take the rights back."""
    op.execute("REVOKE ALL ON claim_checks, alembic_version FROM mailqueue_api, mailqueue_worker")
    op.execute("DROP POLICY api_reads_global ON suppression_list")
    for table in (*reversed(TENANT_TABLES), "audit_logs", "apps"):
        op.execute(RELEASE.format(table=table))
    op.execute("DROP FUNCTION mailqueue_current_app()")


def _confine(
    table: str,
    *,
    column: str = "app_id",
    rights: str = ALL_RIGHTS,
    api_rights: str = ALL_RIGHTS,
) -> None:
    op.execute(
        CONFINE.format(table=table, column=column, rights=rights, api_rights=api_rights)
    )
