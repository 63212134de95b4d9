"""Programs to test and demonstrate against. They share nothing with what they test."""
