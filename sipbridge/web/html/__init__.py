"""The files and templates that all pages share, and their style."""
