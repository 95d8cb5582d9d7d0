"""Decides what remains to do in each cell of a sweep."""
