"""Does what `python -m reports` does, after a line on its standard input.

A sweep starts it while its last runs are made: imports take most of a report's time. It waits for a
line on its standard input; where that ends without one, the sweep has left, and nothing is written.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module

from reports.__main__ import main

NEEDED = (
    "reports.build",
    "reports.page",
    "reports.terminal",
    "duckdb",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "scipy.stats",
    "seaborn",
    "tabulate",
)
"""What a report imports, at the latest."""

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep answers it
    for name in NEEDED:
        import_module(name)
    if sys.stdin.readline():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        main()
