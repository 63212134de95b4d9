"""The program: builds the parts, serves, reloads, drains, stops. The only package that knows them all."""
