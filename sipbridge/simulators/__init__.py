"""Programs for tests and demonstrations. They share no code with the bridge."""
