"""BIDS data sets: which scans lie in them, and the derivatives that come of them."""
