"""Bring-your-own channels: we post to DFO REST 3.0, and CXone calls the box of the channel."""
