"""Folding counter deltas into minute buckets: counters are never hot rows.

Deltas are appended by the transaction that changed the mails and taken here, in one statement, so a
reader who adds both tables up (app/analytics/reports) sees every count exactly once.
"""

from app.db.session import Session, one

BATCH = 20_000

# SKIP LOCKED gives two folders different deltas; the ORDER BY of the insert lets both add to the
# same buckets without waiting for each other in a circle.
_FOLD = """
WITH taken AS (
  DELETE FROM email_stat_deltas WHERE id = ANY(ARRAY(
    SELECT id FROM email_stat_deltas ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
  RETURNING app_id, queue_id, campaign_id, step_id, account_id, kind, n, at),
folded AS (
  INSERT INTO email_stats AS s (app_id, queue_id, campaign_id, step_id, account_id, kind, minute, n)
  SELECT app_id, queue_id, campaign_id, step_id, account_id, kind, date_trunc('minute', at), sum(n)
  FROM taken GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 7, 6, 2, 3, 4, 5
  ON CONFLICT ON CONSTRAINT email_stats_key DO UPDATE SET n = s.n + excluded.n)
SELECT count(*) FROM taken"""


def fold(session: Session, limit: int = BATCH) -> int:
    """Fold up to `limit` of the oldest deltas; return how many. Less than `limit`: none was left."""
    row = one(session, _FOLD, {"limit": limit})
    return int(row[0]) if row else 0
