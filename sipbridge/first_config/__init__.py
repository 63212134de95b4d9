"""`sipbridge init`: the first configuration of a bridge, from a few questions, with generated secrets."""
