"""Implements the commands of runs, datasets and trained models."""
