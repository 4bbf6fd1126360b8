"""The database's history: Alembic revisions, applied by `mailqueue migrate` (app/db/migrate.py)."""
