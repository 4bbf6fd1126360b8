"""How reputation narrows what a sender may: the joins of every query that asks for its limits.

`a` is an account, `apps` its app. No row stands for a sender nobody has judged. Who is slowed keeps
a share of its busiest hour, who is held sends nothing (app/policy/reputation).
"""

OF_ACCOUNT = "LEFT JOIN app_reputation ra ON ra.sender_id = a.id"
OF_APP = "LEFT JOIN app_reputation rp ON rp.sender_id = apps.id"
# The stricter of two limits: least() passes over NULL, which is no limit.
HOURLY_LIMIT = "least(a.hourly_limit, ra.per_hour)"
APP_PER_MINUTE = "least(apps.per_minute, (rp.per_hour + 59) / 60)"
IS_FREE = "coalesce(ra.level, '') <> 'held' AND coalesce(rp.level, '') <> 'held'"
HELD_FOR = """
CASE WHEN rp.level = 'held' THEN 'the app is held: ' || rp.reason
     WHEN ra.level = 'held' THEN 'the account is held: ' || ra.reason END"""
