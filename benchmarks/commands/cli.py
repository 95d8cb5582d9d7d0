"""Defines what the command lines share: options, the data folder, exit codes.

Importing this module is fast.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TextIO, cast

import typer
from pydantic import Field
from typer.core import TyperGroup

from benchmarks import datasets, interrupts
from benchmarks.records.errors import InputError
from benchmarks.records.spec import DeviceName, Precision, RunSpec
from benchmarks.records.terminal import fail, run_command

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_DATA, DEFAULT_RESULTS = Path("data"), Path("results")
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the datasets.", show_default="$BENCH_DATA, else data/"),
]
Results = Annotated[Path, typer.Option("--results", help="Folder of the results.")]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Download nothing: use the data on disk, else stand-ins."),
]
Epochs = Annotated[
    int | None,
    Field(ge=1),
    typer.Option(min=1, help="Training epochs of a run.", show_default="the profile's"),
]
TrainSamples = Annotated[
    int | None,
    Field(ge=1),
    typer.Option(min=1, help="Training samples per epoch.", show_default="the profile's"),
]
RunPrecision = Annotated[
    Precision,
    typer.Option(help="Numbers that layers compute with; 16-mixed: on CUDA only."),
]


class InterruptibleCommands(TyperGroup):
    """Ends commands after Ctrl-C as `main` says; is the `cls` of each `typer.Typer`.

    Typer alone prints `Aborted.` and ends with exit code 1.
    """

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was asked for. Raises Interrupted after Ctrl-C."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise interrupts.Interrupted(signal.SIGINT) from None


def data_folder(data: Path | None) -> Path:
    """Finds the folder of the datasets, and makes the user's own datasets in it known.

    Args:
        data: the value of the option `--data`. Without it, $BENCH_DATA names the folder; without
            both, it is `data` in the current folder.

    Returns:
        The absolute path. The default folder need not exist.

    Raises:
        InputError: if `--data` or $BENCH_DATA names no folder.
    """
    named = data or _data_of_environment()
    if named is not None and not named.is_dir():
        origin = "--data" if data else "$BENCH_DATA"
        raise InputError(
            f"{origin} {named} is not a folder: name the folder that holds the datasets, or leave "
            f"{origin} out"
        )
    folder = (named or DEFAULT_DATA).resolve()
    datasets.use_folder(folder)
    return folder


def _data_of_environment() -> Path | None:
    named = os.environ.get("BENCH_DATA")
    return Path(named) if named else None


def folder_options(*, data: Path | None = None, results: Path | None = None) -> str:
    """Writes the options that a command in a message needs to find the same folders.

    Args:
        data: the absolute path of the folder of the datasets; None: the command reads none.
        results: the results folder; None: the command has no such option.

    Returns:
        Such as ` --data DIR`, with a leading space; empty for folders that the command finds alone.
    """
    text = ""
    if data is not None and data != (_data_of_environment() or DEFAULT_DATA).resolve():
        text += f" --data {shlex.quote(str(data))}"
    if results is not None and results != DEFAULT_RESULTS:
        text += f" --results {shlex.quote(str(results))}"
    return text


@contextmanager
def announced(text: str) -> Iterator[None]:
    """Shows a text on a terminal while slow imports run, so that the screen is not empty.

    Nothing is printed where stderr is not a terminal.

    Args:
        text: what happens, such as `starting`.
    """
    terminal = sys.stderr
    if not terminal.isatty():
        yield
        return
    shown = _Announcement(terminal, text)
    sys.stderr = cast(TextIO, shown)
    try:
        yield
    finally:
        sys.stderr = terminal
        shown.clear()


class _Announcement:
    """Stands for stderr while a text is shown, and removes the text before anything is printed."""

    def __init__(self, terminal: TextIO, text: str) -> None:
        self._terminal, self._shown = terminal, True
        terminal.write(f"{text} …")
        terminal.flush()

    def clear(self) -> None:
        if self._shown:
            self._shown = False
            self._terminal.write("\r\x1b[K")
            self._terminal.flush()

    def write(self, text: str) -> int:
        self.clear()
        return self._terminal.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)


def plain_console(width: int | None = None) -> Console:
    """Makes the console that commands print on.

    Paths, names of files and reasons of failures may hold any text: Rich prints it as it is, and
    takes no part of it for markup or for the name of an emoji.

    Args:
        width: columns; None: those of the terminal.
    """
    from rich.console import Console

    return Console(markup=False, emoji=False, width=width)


def duration(seconds: float) -> str:
    """Formats a number of seconds for people, such as `7 s`, `3 min 07 s` or `2 h 05 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def chosen_device(device: Literal["auto", "cpu", "cuda", "mps"], devices: int = 1) -> DeviceName:
    """Chooses the device of a run.

    Args:
        device: `auto` takes GPUs of CUDA if PyTorch finds any, and never Apple's GPU, which nobody
            has tested.
        devices: how many devices train the run.

    Returns:
        The device.

    Raises:
        InputError: if the device is `cuda`, or `auto` takes GPUs, and PyTorch finds too few; or if
            the device is `mps`, and PyTorch finds no Apple GPU.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        require_gpus(devices)
    elif device == "mps":
        require_apple_gpu()
    return device


def require_apple_gpu() -> None:
    """Checks that PyTorch can use an Apple GPU. Raises InputError if it cannot."""
    import torch

    if not torch.backends.mps.is_available():
        raise InputError(
            "--device mps: PyTorch finds no Apple GPU on this machine: use --device cpu"
        )


def require_gpus(devices: int = 1) -> None:
    """Checks that PyTorch can use GPUs.

    Args:
        devices: how many.

    Raises:
        InputError: if there is no GPU, there are fewer, or PyTorch cannot use them.
    """
    import torch

    if not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no GPU on this machine: use --device cpu")
    if devices > 1 and (found := torch.cuda.device_count()) < devices:
        raise InputError(
            f"--devices {devices}: this machine has fewer GPUs, {found}: give fewer devices, or "
            "--device cpu"
        )


def require_device_of(spec: RunSpec) -> None:
    """Checks that this machine has the kind of device that computed a stored run.

    Args:
        spec: the spec of the run.

    Raises:
        InputError: if PyTorch finds no such device. Another one would compute other bits.
    """
    import torch

    found = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not found[spec.device]:
        kind = {"cuda": "an NVIDIA GPU", "mps": "an Apple GPU"}[spec.device]
        raise InputError(
            f"run {spec.run_id} was computed by {kind}, and PyTorch finds none on this machine: "
            "call the command on a machine that has one"
        )


def main(app: Callable[[], object]) -> None:
    """Runs a command line, and turns expected errors into one sentence on stderr.

    The exit code is 2 after bad input or a file error such as a full disk, 143 after SIGTERM and
    130 after Ctrl-C. After a signal the sentence says how to resume, and the process ends at once.

    Args:
        app: the command line, without arguments.

    Raises:
        SystemExit: with exit code 2, if the input is bad or a file cannot be read or written.
    """
    try:
        app()
    except interrupts.Interrupted as interruption:
        interrupts.end_process(
            "interrupted; finished work is kept: repeat the command to resume",
            interruption.exit_code,
        )
    except InputError as error:
        fail(str(error))
    except OSError as error:
        fail(
            f"{error.filename or 'a file'}: {error.strerror or error}; finished work is kept: "
            "remove the cause, and call the same command again to resume"
        )


def command(app: Callable[[], object]) -> NoReturn:
    """Runs a command line as `main` does, and then ends the process: see `run_command`.

    Args:
        app: the command line, without arguments.
    """
    run_command(lambda: main(app))
