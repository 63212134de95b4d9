"""Simulated bring-your-own channels: DFO REST 3.0, and CXone as the caller of a box."""
