"""The SQLite files of the stores: opening, following a file that is replaced or damaged, retention."""
