"""Ends the view of a run, instead of the run, where the view fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def ends_only_the_view(name: str, run_id: str, end: Callable[[], None]) -> Iterator[None]:
    """Catches any exception in the context, prints one line on stderr, and ends the view.

    All exceptions are caught, because no figure is taken from a view, and a library may raise any.

    Args:
        name: what the view is, such as `TensorBoard`.
        run_id: the id of the run, which the line names.
        end: is called after an exception, so that the view does nothing from then on.
    """
    try:
        yield
    except Exception as error:
        end()
        print(
            f"capsbench: the {name} view of {run_id} ends here ({type(error).__name__}: {error}); "
            "the run and its record do not need it",
            file=sys.stderr,
        )
