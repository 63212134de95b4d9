"""Simulated patron chat: points of contact, chats with long polls, and the availability of human agents."""
