"""The audit log can only grow: UPDATE, DELETE and TRUNCATE are refused, to everybody."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UP = """
CREATE FUNCTION mailqueue_refuse_audit_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'The audit log is append-only: % is refused.', TG_OP
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Retention detaches or drops whole partitions.';
END
$$;

CREATE TRIGGER audit_logs_never_changed BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION mailqueue_refuse_audit_change();
CREATE TRIGGER audit_logs_never_truncated BEFORE TRUNCATE ON audit_logs
    EXECUTE FUNCTION mailqueue_refuse_audit_change();
"""

DOWN = """
DROP TRIGGER audit_logs_never_truncated ON audit_logs;
DROP TRIGGER audit_logs_never_changed ON audit_logs;
DROP FUNCTION mailqueue_refuse_audit_change() CASCADE;
"""


def upgrade() -> None:
    """Create the triggers."""
    op.execute(UP)


def downgrade() -> None:
    """Drop the triggers, the partitions' own among them."""
    op.execute(DOWN)
