"""Tests the user's own clips: what is read, what is refused, and runs that train on them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import datasets, metrics, run, specify
from benchmarks.__main__ import app
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.errors import InputError
from benchmarks.records.spec import Budget
from benchmarks.specs.profiles import ProfileName
from sweeps.matrix import choose_cells

BUDGET = Budget(profile="smoke", epochs=1, train_samples=16, validation_samples=10, test_samples=5)


def balls(count: int, frames: int, side: int = 64) -> np.ndarray:
    """Draws a bright square that moves right, uint8 (count, frames, side, side)."""
    clips = np.zeros((count, frames, side, side), np.uint8)
    for n in range(count):
        for t in range(frames):
            clips[n, t, n % 40 : n % 40 + 8, (n + t) % 40 : (n + t) % 40 + 8] = 200 + n % 50
    return clips


def add(tmp_path: Path, source: Path, *more: str) -> None:
    app(
        ["data", "add", "balls", str(source), "--clips", "--data", str(tmp_path), *more],
        standalone_mode=False,
    )


def loaded(tmp_path: Path) -> tuple[int, int, int]:
    datasets.use_folder(tmp_path)
    data = datasets.find("balls").load(
        "prediction", budget=BUDGET, source=DataSource(tmp_path), seed=0
    )
    assert data.validation is not None
    return len(data.train), len(data.validation), len(data.test)


def test_an_array_is_trained_on_and_swept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "balls.npz", train=balls(60, 20), test=balls(9, 20)[..., None])
    add(tmp_path, tmp_path / "balls.npz")
    printed = capsys.readouterr().out
    assert "balls: 60 training and 9 test clips of 20 frames, grey, 64×64 pixels" in printed
    assert f"capsbench run convlstm balls --data {tmp_path}" in printed
    add(tmp_path, tmp_path / "balls.npz")  # the same clips again
    assert loaded(tmp_path) == (16, 10, 5)
    assert metrics.directions("prediction", "balls")
    assert ("convlstm", "balls") in choose_cells(("*/balls",))
    assert all(variant != "cnn" for variant, _ in choose_cells(("*/balls",)))
    source = DataSource(tmp_path)
    spec = specify("convlstm", "balls", profile=ProfileName.smoke, role="final", source=source)
    record = run(spec, source=source, results=tmp_path / "results")
    assert record.status == "complete"
    assert record.samples is not None
    assert (record.samples.train, record.samples.test, record.samples.test_of) == (8, 9, 9)
    assert record.provenance.data is not None
    assert record.provenance.data.state == "own"


def test_training_and_validation_clips_are_different_and_stay_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "balls.npy", balls(80, 20))
    add(tmp_path, tmp_path / "balls.npy")
    datasets.use_folder(tmp_path)
    whole = Budget(profile="smoke", epochs=1, validation_samples=10)

    def pixels(seed: int) -> list[list[bytes]]:
        data = datasets.find("balls").load(
            "prediction", budget=whole, source=DataSource(tmp_path), seed=seed
        )
        return [[c.numpy().tobytes() for c in part.clips] for part in (data.train, data.validation)]  # type: ignore[union-attr]

    train, validation = pixels(0)
    assert (len(train), len(validation)) == (54, 10)  # a fifth of 80 are test clips
    assert not set(train) & set(validation)
    assert pixels(1) == [train, validation]


def test_folders_of_animations_and_of_frames_are_cut_to_clips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "videos"
    source.mkdir()
    for number, clip in enumerate(balls(12, 45, side=48)):
        images = [Image.fromarray(frame) for frame in clip]
        if number % 2:
            images[0].save(
                source / f"{number}.gif", save_all=True, append_images=images[1:], loop=0
            )
        else:
            (source / f"clip{number}").mkdir()
            for t, image in enumerate(images):
                image.save(source / f"clip{number}" / f"{t:03}.png")
    (source / "notes.txt").write_text("no clip")
    add(tmp_path, source, "--frames", "6")
    printed = capsys.readouterr().out
    # 45 frames are 7 clips of 6; the two test videos are not among the training videos.
    assert "balls: 70 training and 14 test clips of 6 frames, grey, 64×64 pixels" in printed
    assert "Frames were resized to 64×64 pixels." in printed
    assert "2 of 12 clips were chosen as test clips" in printed
    with pytest.raises(InputError, match="reduce --set past or --set future"):
        loaded(tmp_path)


def test_a_script_with_torch_datasets_of_clips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clips.py").write_text(
        "import torch\n"
        "class Clips(torch.utils.data.Dataset):\n"
        "    def __init__(self, count): self.count = count\n"
        "    def __len__(self): return self.count\n"
        "    def __getitem__(self, n):\n"
        "        clip = torch.full((20, 3, 64, 64), n / 100)\n"
        "        return clip[:10], clip[10:]\n"
        "train, test = Clips(55), Clips(7)\n"
    )
    add(tmp_path, tmp_path / "clips.py")
    assert "55 training and 7 test clips of 20 frames, colour" in capsys.readouterr().out
    assert loaded(tmp_path) == (16, 10, 5)


def test_a_transparent_animation_is_refused(tmp_path: Path) -> None:
    """The colour under transparent pixels may be any, and is seldom what a viewer shows."""
    source = tmp_path / "videos"
    source.mkdir()
    frames = [Image.new("RGBA", (64, 64), (t, 0, 0, 9)) for t in range(20)]
    frames[0].save(source / "clip.webp", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(InputError, match=r"clip\.webp cannot be read \(it is partly transparent"):
        add(tmp_path, source)


def animations(folder: Path, count: int) -> Path:
    """Writes animated images of 20 frames."""
    folder.mkdir(parents=True)
    for number, clip in enumerate(balls(count, 20)):
        first, *others = map(Image.fromarray, clip)
        first.save(folder / f"{number:03}.gif", save_all=True, append_images=others)
    return folder


def test_files_and_arrays_that_are_no_clips_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = animations(tmp_path / "balls", 63)
    for name in ("film.mp4", "film.avi", ".DS_Store"):
        (folder / name).write_bytes(b"film")
    add(tmp_path, folder)
    printed = capsys.readouterr().out
    assert f"folder of a clip: 2 in all, as {folder / 'film.avi'}." in printed
    np.savez(tmp_path / "balls.npz", clips=balls(63, 20), labels=np.arange(63))
    add(tmp_path, tmp_path / "balls.npz", "--replace")
    assert "Left out: the arrays labels.\n" in capsys.readouterr().out


def test_a_folder_without_clips_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "film.mp4").write_bytes(b"film")
    with pytest.raises(InputError, match=r"has no clips: give animated .* as .*film\.mp4\."):
        add(tmp_path, tmp_path / "films")


def test_clips_beside_those_of_training_and_test_are_refused(tmp_path: Path) -> None:
    for part in ("train", "test", "val"):
        animations(tmp_path / "balls" / part, 2)
    with pytest.raises(InputError, match="val is neither training nor test data"):
        add(tmp_path, tmp_path / "balls")


@pytest.mark.parametrize(
    ("array", "more", "reason"),
    [
        (balls(20, 20), (), "16 training clips of 20 frames, and needs 50, since a fifth"),
        (balls(60, 5), (), "0 training clips of 20 frames"),
        (balls(60, 20)[0], (), "its clips are (20, 64, 64), not (clips, frames, height, width"),
        (np.zeros((60, 20, 2, 8, 9)), (), "where no axis can be the 1 or 3 channels"),
        (np.full((60, 20, 8, 8), -1.0), (), "its pixels are of -1 to -1"),
        (balls(60, 20), ("--labels", "x"), "--images, --labels and --size are for images"),
    ],
)
def test_what_no_run_could_use_is_one_sentence(
    array: np.ndarray, more: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(InputError, match=re.escape(reason)):
        add(tmp_path, tmp_path / "x.npy", *more)
    assert not (tmp_path / "own").exists()


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", balls(80, 20))
    add(tmp_path, tmp_path / "x.npy")
    path = tmp_path / "own" / "balls.safetensors"
    content = bytearray(path.read_bytes())
    content[-70_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"differ from its fingerprint.*data add balls PATH"):
        loaded(tmp_path)
