"""One-off bodies (transactional HTML) when no message is written from them any more."""

from app.db.expiry import Expiry

# The foreign keys of messages and variants have the last word: a body in use cannot go.
BODIES = Expiry(
    table="template_versions",
    key="id",
    where="""t.app_id = %(app)s AND t.template_id IS NULL AND t.id < %(before)s
  AND NOT EXISTS (SELECT FROM messages m WHERE m.template_version_id = t.id)
  AND NOT EXISTS (SELECT FROM campaign_step_variants v WHERE v.template_version_id = t.id)
  AND NOT EXISTS (SELECT FROM emails e WHERE e.app_id = t.app_id AND e.id < %(before)s
                  AND e.template_version_id = t.id)""",
    delete="DELETE FROM template_versions WHERE id = ANY(%(keys)s) RETURNING id",
)
