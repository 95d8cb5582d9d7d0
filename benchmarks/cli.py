"""What the command lines share. Importing this is cheap."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from benchmarks import interrupts
from benchmarks.records.errors import InputError

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the datasets.", show_default="$BENCH_DATA, else data/"),
]
Results = Annotated[Path, typer.Option("--results", help="Folder of the results.")]
Offline = Annotated[
    bool, typer.Option("--offline", help="Download nothing: what is on disk, else stand-ins.")
]


def data_folder(data: Path | None) -> Path:
    """The datasets' folder: the option's, $BENCH_DATA's, or data/. Raises InputError."""
    from_environment = os.environ.get("BENCH_DATA")
    named = data or (Path(from_environment) if from_environment else None)
    if named is not None and not named.is_dir():
        origin = "--data" if data else "$BENCH_DATA"
        raise InputError(
            f"{origin} {named} is not a folder: name the one that holds the datasets, or none"
        )
    return (named or Path("data")).resolve()


def duration(seconds: float) -> str:
    """As people read it, such as `3 min 07 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def require_gpu() -> None:
    """Raises InputError where there is none for a run on `cuda`."""
    import torch

    if not torch.cuda.is_available():
        raise InputError("--device cuda, but PyTorch sees no GPU here: use --device cpu")


def main(app: Callable[[], object]) -> None:
    """Runs a command line: bad input is one sentence and exit code 2, a full disk too.

    One that was asked to leave tells how to go on: exit code 143 after SIGTERM, 130 after Ctrl-C.
    """
    try:
        app()
    except interrupts.Interrupted as leave:
        interrupts.end_process(
            "interrupted; what was done is kept. The same command goes on with it.", leave.exit_code
        )
    except InputError as error:
        _leave(str(error))
    except OSError as error:
        _leave(
            f"{error.filename or 'a file'}: {error.strerror or error}: what was done is kept, and "
            "the same command goes on with it"
        )


def command(app: Callable[[], object]) -> NoReturn:
    """Runs a command line as `main` does, and ends the process without tidying up.

    The interpreter would spend most of a second on that, once it has imported torch.
    """
    code = 0
    try:
        main(app)
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    interrupts.exit_now(code)


def _leave(sentence: str) -> None:
    print(f"capsbench: {sentence}", file=sys.stderr)
    raise SystemExit(2)
