"""Compares training steps of other people with ours: see `python -m tests.tools.peers --help`."""
