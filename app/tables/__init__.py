"""All tables, declared once; Alembic compares the database with `metadata`."""

from app.tables import campaigns, emails, feedback, insight, operations, tenancy
from app.tables.base import metadata

__all__ = ["campaigns", "emails", "feedback", "insight", "metadata", "operations", "tenancy"]
