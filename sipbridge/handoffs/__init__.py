"""The parts of a handoff that calls and chats share: request, destination, parameters and record."""
