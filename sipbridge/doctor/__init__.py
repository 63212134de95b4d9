"""`sipbridge doctor`: what keeps a bridge from working on this machine and with its peers, and what to do about it."""
