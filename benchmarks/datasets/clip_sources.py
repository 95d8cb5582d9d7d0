"""Reads the clips that a user adds as an own dataset, and checks them.

This is a folder of clips (animated images, or one folder of images per clip), an .npz or .npy file,
or a Python script with torch datasets of clips.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.datasets.array_files import MAX_BYTES, NPY, ZIP, read_arrays, to_pixels, unread_note
from benchmarks.datasets.data_files import explain_read_errors
from benchmarks.datasets.dataset_scripts import run_script
from benchmarks.datasets.image_files import open_image, pixels_of, read_frames
from benchmarks.datasets.image_folders import (
    ENDINGS,
    PARTS,
    left_out_note,
    loose_files,
    require_parts_only,
)
from benchmarks.datasets.own_clips import SIDE, AddedClips
from benchmarks.datasets.own_parts import fit_image
from benchmarks.datasets.task_data import TEST_SEED, choose_at_random, held_out_count
from benchmarks.records.errors import InputError

FEWEST = 10
"""Least number of validation clips; a fifth of the training clips is held out for validation."""
_REMEDY = "correct it, and add it again"
_OF_PART = ("{}", "{}_clips", "clips_{}", "x_{}", "X_{}", "{}_x", "{}_data")
_OF_ALL = ("clips", "videos", "sequences", "frames", "x", "X", "data", "arr_0", "")

Clip = np.ndarray
"""uint8 (frames, channels, height, width)."""


def read_clips(path: Path, *, frames: int, test_share: float) -> AddedClips:
    """Reads and checks the clips that a user adds. Longer clips are cut, shorter ones left out.

    Args:
        path: the folder or file.
        frames: number of frames of each stored clip.
        test_share: share of the clips that become test clips, if the source has none.

    Returns:
        The clips, with frames of 64×64 pixels.

    Raises:
        InputError: if the source cannot be read, or no run could use it.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist: name a folder or a file")
    left_out: list[Path] = []
    notes: list[str] = []
    with explain_read_errors(path, _REMEDY):
        parts = {name: list(clips) for name, clips in _parts(path, left_out, notes).items()}
    notes += left_out_note(left_out, "neither animated images nor frames in a folder of a clip")
    if not any(parts.values()):
        raise InputError(
            f"{path} has no clips: give animated images (GIF, WebP, TIFF), or one folder of images "
            f"per clip. {' '.join(notes)}".rstrip()
        )
    if "test" not in parts:
        order = choose_at_random(len(parts["train"]), len(parts["train"]), seed=TEST_SEED)
        chosen = {int(place) for place in order[: round(test_share * len(order))]}
        whole = parts["train"]
        parts = {
            "train": [clip for place, clip in enumerate(whole) if place not in chosen],
            "test": [clip for place, clip in enumerate(whole) if place in chosen],
        }
        notes.append(
            f"{len(chosen)} of {len(whole)} clips were chosen as test clips, with a fixed seed, "
            "since there are no others."
        )
    every = [clip for clips in parts.values() for clip in clips]
    if any(clip.shape[2:] != (SIDE, SIDE) for clip in every):
        notes.append(f"Frames were resized to {SIDE}×{SIDE} pixels.")
    if short := sum(len(clip) < frames for clip in every):
        notes.append(f"Left out, since they have fewer than {frames} frames: {short} clips.")
    channels = max((clip.shape[1] for clip in every), default=1)
    if any(clip.shape[1] < channels for clip in every):
        notes.append("Grey frames were given three equal channels, as others have colours.")
    stored = {name: _cut(parts[name], frames, channels) for name in ("train", "test")}
    _require_enough(path, stored, frames)
    return AddedClips(stored["train"], stored["test"], tuple(notes))


def _require_enough(path: Path, stored: Mapping[str, np.ndarray], frames: int) -> None:
    """Raises InputError if no trial could be trained and validated on the clips."""
    training = len(stored["train"])
    if held_out_count(training, training) < FEWEST:
        raise InputError(
            f"{path} has {training} training clips of {frames} frames, and needs {5 * FEWEST}, "
            f"since a fifth is held out for validation, which must be {FEWEST} clips at least: add "
            "some, or give fewer --frames or a smaller --test-share"
        )
    if not len(stored["test"]):
        raise InputError(
            f"{path} has no test clips of {frames} frames: add some, or give a larger --test-share"
        )


def _cut(clips: Sequence[Clip], frames: int, channels: int) -> np.ndarray:
    """Cuts clips to pieces of equal length and size, (N, frames, channels, 64, 64)."""
    pieces = [
        np.stack([fit_image(frame, SIDE, SIDE, channels) for frame in clip[start : start + frames]])
        for clip in clips
        for start in range(0, len(clip) - frames + 1, frames)
    ]
    return np.stack(pieces) if pieces else np.empty((0, frames, channels, SIDE, SIDE), np.uint8)


def _parts(path: Path, left_out: list[Path], notes: list[str]) -> dict[str, Iterator[Clip]]:
    """Finds the parts of a source, `train` and, if there is one, `test`.

    Files of a folder that are no clips are added to `left_out`, when the clips are read. A note on
    arrays that are not read is added to `notes`.
    """
    if path.is_dir():
        return _folder_parts(path, left_out)
    if path.suffix == ".py":
        return _script_parts(path)
    with path.open("rb") as stream:
        start = stream.read(len(NPY))
    if start.startswith((NPY, ZIP)):
        return _array_parts(read_arrays(path), notes)
    raise InputError(
        f"{path} has a format that is not read as clips: give a folder of animated images or of "
        "folders of frames, an .npz or .npy file, or a .py file that makes torch datasets"
    )


def _array_parts(arrays: Mapping[str, np.ndarray], notes: list[str]) -> dict[str, Iterator[Clip]]:
    def pick(names: Sequence[str]) -> str | None:
        return next((name for name in names if name in arrays), None)

    found = {part: pick([form.format(part) for form in _OF_PART]) for part in ("train", "test")}
    chosen = {part: name for part, name in found.items() if name is not None}
    if "train" not in chosen:
        name = pick(_OF_ALL)
        if name is None:
            raise ValueError(
                f"its arrays are {', '.join(sorted(arrays))[:100]}: call them train and test, or "
                "clips"
            )
        chosen = {"train": name}
    notes += unread_note(arrays, chosen.values())
    return {part: _of_array(arrays[name]) for part, name in chosen.items()}


def _of_array(array: np.ndarray) -> Iterator[Clip]:
    if array.ndim not in (4, 5):
        raise ValueError(
            f"its clips are {array.shape}, not (clips, frames, height, width[, channels])"
        )
    pixels = to_pixels(array)
    return (_with_channels(clip) for clip in pixels)


def _with_channels(clip: np.ndarray) -> Clip:
    """Brings a clip into the order frames, channels, height, width."""
    if clip.ndim == 3:
        return clip[:, None]
    first, last = (clip.ndim == 4 and clip.shape[axis] in (1, 3) for axis in (1, 3))
    if first == last:
        raise ValueError(f"a clip is {clip.shape}, where no axis can be the 1 or 3 channels")
    return clip if first else clip.transpose(0, 3, 1, 2)


def _folder_parts(path: Path, left_out: list[Path]) -> dict[str, Iterator[Clip]]:
    entries = (entry for entry in sorted(path.iterdir()) if not entry.name.startswith("."))
    inner = {entry.name.lower(): entry for entry in entries if entry.is_dir()}
    parts = {
        part: inner[name] for part in ("train", "test") for name in PARTS[part] if name in inner
    }
    if "train" not in parts:
        return {"train": _clips_of_folder(path, left_out)}
    require_parts_only(inner.values(), parts.values())
    left_out.extend(loose_files(path))
    return {part: _clips_of_folder(folder, left_out) for part, folder in parts.items()}


def _clips_of_folder(path: Path, left_out: list[Path]) -> Iterator[Clip]:
    """Yields the clips of a folder: of each animated image, and of each folder of images."""
    size = 0
    for entry in sorted(path.iterdir()):
        if entry.name.startswith("."):
            continue
        files: list[Path] = []
        for file in sorted(entry.iterdir()) if entry.is_dir() else [entry]:
            if not file.name.startswith("."):
                (files if file.suffix.lower() in ENDINGS else left_out).append(file)
        if not files:
            continue
        with explain_read_errors(entry, "replace or remove it, and add the folder again"):
            clip = _animation(entry) if entry.is_file() else _of_files(files)
            if (size := size + clip.nbytes) > MAX_BYTES:
                raise ValueError(f"the clips take more than {MAX_BYTES >> 30} GiB")
            yield clip


def _of_files(files: Sequence[Path]) -> Clip:
    frames = [pixels_of(open_image(file)) for file in files]
    channels = max(len(frame) for frame in frames)
    sizes = {frame.shape[1:] for frame in frames}
    if len(sizes) > 1:
        raise ValueError("its images have several sizes")
    ((height, width),) = sizes
    return np.stack([fit_image(frame, height, width, channels) for frame in frames])


def _animation(path: Path) -> Clip:
    frames = [pixels_of(frame) for frame in read_frames(path)]
    channels = max(len(frame) for frame in frames)
    clip = np.stack([np.broadcast_to(frame, (channels, *frame.shape[1:])) for frame in frames])
    # The colours of a palette may all be grey.
    grey = channels == 3 and bool((clip[:, 1:] == clip[:, :1]).all())
    return clip[:, :1] if grey else clip


def _script_parts(path: Path) -> dict[str, Iterator[Clip]]:
    return {part: _items(dataset) for part, dataset in run_script(path).parts.items()}


def _items(dataset: Any) -> Iterator[Clip]:
    """Yields the clips of a torch dataset: of items that are clips, or (past, future), or (clip,
    label).
    """
    for index in range(len(dataset)):
        item = dataset[index]
        pieces = item if isinstance(item, tuple | list) else (item,)
        arrays = [
            np.asarray(piece.detach().cpu() if hasattr(piece, "detach") else piece)
            for piece in pieces
        ]
        clips = [_item_clip(array) for array in arrays if array.ndim >= 3]
        if not clips:
            raise ValueError(f"item {index} has no array (frames, channels, height, width)")
        yield np.concatenate(clips)


def _item_clip(array: np.ndarray) -> Clip:
    # Where clips are read one by one, none may decide how numbers are meant.
    if array.dtype != np.uint8 and not (array.dtype.kind == "f" and array.max(initial=0) <= 1):
        raise ValueError("an item's clip holds neither bytes nor numbers of 0 to 1")
    return _with_channels(to_pixels(array))
