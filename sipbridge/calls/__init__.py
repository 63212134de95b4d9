"""The life of a call: admission, routing, conversation, handoff. Plain asyncio; SIP and HTTP only by Protocol."""
