"""What is no test, and opens a window where it is imported."""

collect_ignore = ["window.py"]
