"""The life of a call: admission, routing, conversation, handoff. Plain asyncio; knows SIP and HTTP only by Protocol."""
