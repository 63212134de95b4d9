"""The chats in SQLite."""
