"""The HTTP client of CXone: connections, URLs."""
