"""Doors into other programs, each thin: what it knows of geometry and jobs is asked for below."""
