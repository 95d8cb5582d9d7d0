"""Estimates how long a sweep takes. No record depends on it."""
