"""What calls and chats share of a handoff: its request, its destination, its parameters, its record."""
