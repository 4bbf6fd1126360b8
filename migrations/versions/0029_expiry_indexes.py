"""Indexes by which retention finds what is over of one app, whatever other apps keep for longer."""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

UP = """
CREATE INDEX messages_app_id_id ON messages (app_id, id);
CREATE INDEX inbox_message_content_app_id ON inbox_message_content (app_id, ref_id);
CREATE INDEX template_versions_whole ON template_versions (app_id, id)
    WHERE template_id IS NULL AND octet_length(content_hash) > 16;
"""

DOWN = """
DROP INDEX template_versions_whole;
DROP INDEX inbox_message_content_app_id;
DROP INDEX messages_app_id_id;
"""


def upgrade() -> None:
    """Create the indexes."""
    op.execute(UP)


def downgrade() -> None:
    """Drop them."""
    op.execute(DOWN)
