"""Measures and estimates how fast variants train."""
