"""The demo: a real campaign over the running processes, read and answered by a small audience."""
