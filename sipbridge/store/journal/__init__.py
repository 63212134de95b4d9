"""The journal: the append-only file that survives a crash."""
