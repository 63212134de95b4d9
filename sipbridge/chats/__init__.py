"""The chats that bots hand off to human agents: their course, their records and their Protocols."""
