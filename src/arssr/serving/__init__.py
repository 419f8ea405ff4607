"""`arssr view`: a local page on which scans are seen, super-resolved and compared."""
