"""The protocols that agents speak over a WebSocket."""
