"""Weights: files, the registry of those that ship, their cards."""
