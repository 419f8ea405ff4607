"""Viewing: reports in HTML, the words and curves in them, and pictures for documents."""
