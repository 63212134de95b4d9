"""What calls and chats share of a handoff: its request, destination, parameters and record."""
