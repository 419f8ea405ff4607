"""From a scan and what is asked of it to its result, for Python and for jobs alike."""
