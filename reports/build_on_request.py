"""Imports all that `python -m reports` needs, waits for a line on standard input, and runs it.

A sweep starts this process during its last runs, since imports take most of a report's time. If
standard input ends without a line, the sweep has ended, and nothing is written.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module

from reports.__main__ import main

NEEDED = (
    "reports.build",
    "reports.page",
    "reports.terminal_tables",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "pyarrow.parquet",
    "scipy.stats",
    "seaborn",
    "tabulate",
)
"""Modules that a report imports."""

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep handles Ctrl-C
    for name in NEEDED:
        import_module(name)
    if sys.stdin.readline():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        main()
