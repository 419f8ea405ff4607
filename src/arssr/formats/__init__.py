"""How images lie on the disk, one module per format; `registry` knows which is which."""
