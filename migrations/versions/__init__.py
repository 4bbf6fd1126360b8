"""Revisions in order. Written as SQL and frozen: a revision never imports the application."""
