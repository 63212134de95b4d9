"""The Protocols between calls and the other packages, a module per seam. Tests have a hand-written fake of each."""
