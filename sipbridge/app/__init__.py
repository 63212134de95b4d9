"""The program: it builds the parts, serves, reloads, drains and stops. Only this package knows all the others."""
