"""Races: readers at different speeds, late answers, refusals, own orders, restatements and restarts, while marks gap and rebound."""
