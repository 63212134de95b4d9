"""`sipbridge call`: one test call through a running bridge, and its timeline."""
