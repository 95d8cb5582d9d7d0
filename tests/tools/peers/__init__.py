"""Training steps of other people's code beside ours: see `python -m tests.tools.peers --help`."""
