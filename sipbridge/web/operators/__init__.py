"""The live page for operators, and what it shows beyond the calls and chats in progress: the last hour."""
