"""Indexes behind HTTP: one process, whose requests are answered together in batches, and a page to search with."""
