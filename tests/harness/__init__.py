"""Helpers that run the real programs (bridge, simulator, SIPp) on loopback, for tests, demo and benchmarks."""
