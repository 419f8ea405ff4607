"""A plugin of napari: scans as layers, and a widget that super-resolves them (docs/viewers.md)."""
