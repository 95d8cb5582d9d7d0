"""Lets Ctrl-C end tests also if they were started in the background.

A shell lets its background processes ignore SIGINT, and their child processes inherit this.
"""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
