"""The records of calls in SQLite."""
