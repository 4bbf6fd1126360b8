"""${message}."""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None

UP = """
"""

DOWN = """
"""


def upgrade() -> None:
    """Say what this does."""
    op.execute(UP)


def downgrade() -> None:
    """Say what this undoes."""
    op.execute(DOWN)
