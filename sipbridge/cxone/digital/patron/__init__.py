"""Patron chat: a point of contact of the patron chat API, read by long polls."""
