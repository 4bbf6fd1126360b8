"""A suppression may end by itself; suppressions and leads are listed by app, newest first."""

from alembic import op

revision = "0021"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the end of an entry and the indexes of the lists."""
    op.execute("ALTER TABLE suppression_list ADD COLUMN expires_at TIMESTAMPTZ")
    op.execute("CREATE INDEX suppression_list_app_id_id ON suppression_list (app_id, id)")
    op.execute("CREATE INDEX leads_app_id_id ON leads (app_id, id)")


def downgrade() -> None:
    """Take them away."""
    op.execute("DROP INDEX leads_app_id_id")
    op.execute("DROP INDEX suppression_list_app_id_id")
    op.execute("ALTER TABLE suppression_list DROP COLUMN expires_at")
