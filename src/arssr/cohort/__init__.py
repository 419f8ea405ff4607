"""Many scans: BIDS data sets, worker processes, clusters."""
