"""Pure values of telephony, one rule each."""
