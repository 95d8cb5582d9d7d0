"""Defines what is stored on disk: each format once, for writers and readers."""
