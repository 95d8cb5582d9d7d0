"""Ctrl-C means the same wherever tests are started from.

Shells have what they run in the background ignore it, and processes inherit that.
"""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
