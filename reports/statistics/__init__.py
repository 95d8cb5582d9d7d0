"""Computes intervals, comparisons and ranks of scores."""
