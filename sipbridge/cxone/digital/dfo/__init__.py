"""The DFO chat gateway: a WebSocket per chat, as NICE's web and mobile SDKs use it."""
