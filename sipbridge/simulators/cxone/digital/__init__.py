"""A simulated CXone Digital: conversations of all channel types, and the desk where human agents take them."""

from sipbridge.simulators.cxone.digital.app import add_digital, clear_digital, ready_line

__all__ = ["add_digital", "clear_digital", "ready_line"]
