"""Contains tools for people: they measure what takes too long for a test."""
