"""Searches with Optuna: spaces, samplers, pruners, and studies as they are stored."""
