"""Jobs: scans in files, where their results go, and where the work is done."""
