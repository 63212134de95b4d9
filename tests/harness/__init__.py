"""Runs the real programs (bridge, simulator, SIPp) on loopback, for tests, demo and benchmark."""
