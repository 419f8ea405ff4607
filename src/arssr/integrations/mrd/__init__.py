"""Images from a scanner, and sharper ones back: a server for FIRE, OpenRecon and other MRD clients.

docs/scanner.md says what it does and what of it was tried.
"""
