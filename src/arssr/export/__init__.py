"""Networks for programs that have no torch."""
