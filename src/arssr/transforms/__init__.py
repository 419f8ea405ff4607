"""Registrations: points mapped from one image to another, and the files that describe them."""
