"""The rows of the tables of docs/handoff.md: the values come from the code, the explanations are here."""
