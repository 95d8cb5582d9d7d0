"""Tests datasets of the user's own: what is added is checked, stored once, and used like others."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from benchmarks import datasets, load_model
from benchmarks.__main__ import app
from benchmarks.commands.predict_command import predict_files
from benchmarks.commands.run_command import make_run
from benchmarks.commands.run_options import RunOptions
from benchmarks.datasets import own_datasets, own_files
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.image_dataset import ImageDataset
from benchmarks.datasets.still_images import StillImages
from benchmarks.records.errors import InputError
from benchmarks.specs.profiles import ProfileName
from benchmarks.specs.specification import specify
from sweeps import matrix
from sweeps.__main__ import app as sweeps
from tests.narrowing import of_type

CLASSES = ("cat", "dog")
SHAPE = (10, 12, 3)


def colours(samples: int, seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (samples, *shape), np.uint8)


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    packed = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(packed, "PNG")
    return packed.getvalue()


TRAIN, TEST = colours(60, 0), colours(10, 1)
ALL = np.concatenate([TRAIN, TEST])
LABELS = {samples: np.arange(samples) % 2 for samples in (60, 10, 70)}


def image_folder(root: Path) -> Path:
    for part, images in (("train", TRAIN), ("test", TEST)):
        for number, pixels in enumerate(images):
            path = root / "pets" / part / CLASSES[number % 2] / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(pixels))
    return root / "pets"


def npz(root: Path) -> Path:
    arrays: dict[str, Any] = {
        "x_train": TRAIN,
        "y_train": LABELS[60],
        "x_test": TEST,
        "y_test": LABELS[10],
    }
    np.savez(root / "pets.npz", **arrays)
    return root / "pets.npz"


def parquet(root: Path) -> Path:
    folder = root / "hub" / "data"
    folder.mkdir(parents=True)
    features = {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for part, images in (("train", TRAIN), ("test", TEST)):
        rows = [{"bytes": png(pixels), "path": None} for pixels in images]
        table = pyarrow.table({"image": rows, "label": LABELS[len(images)]})
        path = folder / f"{part}-00000-of-00001.parquet"
        pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)
    return root / "hub"


def script(root: Path) -> Path:
    npz(root)
    path = root / "pets.py"
    path.write_text(
        "import numpy as np, torch\n"
        "from torch.utils.data import TensorDataset\n"
        f"with np.load({str(root / 'pets.npz')!r}) as file:\n    arrays = dict(file)\n"
        "def part(name):\n"
        "    images = torch.from_numpy(arrays[f'x_{name}']).permute(0, 3, 1, 2) / 255\n"
        "    return TensorDataset(images, torch.from_numpy(arrays[f'y_{name}']))\n"
        f"train, test, classes = part('train'), part('test'), {CLASSES}\n"
    )
    return path


def add(root: Path, path: Path, *more: str, name: str = "pets") -> own_datasets.Header:
    """Calls `data add` with the data folder `root/data`, and returns the header of the dataset."""
    data = root / "data"
    data.mkdir(exist_ok=True)
    app(["data", "add", name, str(path), "--data", str(data), *more], standalone_mode=False)
    return of_type(own_datasets.Header, own_datasets.read_header(own_files.own_path(data, name)))


def refused(root: Path, path: Path, *more: str, name: str = "pets") -> str:
    with pytest.raises(InputError) as caught:
        add(root, path, *more, name=name)
    message = str(caught.value)
    assert "\n" not in message
    assert not (root / "data" / "own" / f"{name}.safetensors").exists()
    return message


def read(root: Path, name: str = "pets") -> StillImages:
    dataset = datasets.find(name)
    assert isinstance(dataset, ImageDataset)
    return dataset.read(DataSource(root / "data"))


@pytest.mark.parametrize("source", [image_folder, npz, parquet, script])
def test_each_source_gives_the_same_images(
    source: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = add(tmp_path, source(tmp_path))
    assert (header.shape, header.samples) == ((3, 10, 12), (60, 10))
    assert header.classes == (("0", "1") if source is npz else CLASSES)
    printed = capsys.readouterr().out
    assert "60 training and 10 test images, colour, 10×12 pixels, 2 classes" in printed
    assert f"{header.classes[1]}: 30 training, 5 test" in printed
    assert header.sha256 in printed
    data = read(tmp_path)
    assert (data.state, data.sha256) == ("own", header.sha256)
    for split, images in ((data.train, TRAIN), (data.test, TEST)):
        # A folder of images has its classes one after the other.
        order = np.argsort(LABELS[len(images)], kind="stable")
        order = order if source is image_folder else np.arange(len(images))
        np.testing.assert_array_equal(split.images, images.transpose(0, 3, 1, 2)[order])
        np.testing.assert_array_equal(split.labels, LABELS[len(images)][order])


def test_a_run_is_on_the_stored_data_and_equal_data_gives_equal_specs(tmp_path: Path) -> None:
    header = add(tmp_path, image_folder(tmp_path))
    file = own_files.own_path(tmp_path / "data", "pets")
    content = file.read_bytes()
    choice = RunOptions(profile=ProfileName.smoke, final=True, offline=True)
    record = make_run(
        "linear", "pets", choice, data=tmp_path / "data", results=tmp_path / "results"
    )
    assert record.status == "complete", record.reason
    assert record.spec.data_sha256 == header.sha256
    assert record.data is not None
    assert (record.data.state, record.data.sha256) == ("own", header.sha256)
    file.unlink()
    datasets._root = None
    add(tmp_path, tmp_path / "pets")
    assert file.read_bytes() == content
    source = DataSource(tmp_path / "data")
    spec = specify("linear", "pets", profile=ProfileName.smoke, role="final", source=source)
    assert spec.run_id == record.run_id


def test_answers_have_the_names_of_the_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The weights file carries them, so that it needs no data."""
    path = image_folder(tmp_path)
    add(tmp_path, path)
    choice = RunOptions(profile=ProfileName.smoke, epochs=1, offline=True)
    results = tmp_path / "results"
    record = make_run("linear", "pets", choice, data=tmp_path / "data", results=results)
    shutil.rmtree(tmp_path / "data")
    assert load_model(record.run_id, results=results).classes == CLASSES
    capsys.readouterr()
    image = next((path / "train" / CLASSES[0]).iterdir())
    predict_files(record.run_id, [image], out=tmp_path / "out", results=results)
    _, row, _ = capsys.readouterr().out.splitlines()
    assert {*CLASSES} <= {*row.split()}
    table = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert table[0] == f"sample,class,score of {CLASSES[0]},score of {CLASSES[1]}"
    assert table[1].split(",")[1] in CLASSES


@pytest.mark.parametrize("variant", ["autoencoder", "copy-last"])
def test_the_other_tasks_run_on_it(variant: str, tmp_path: Path) -> None:
    add(tmp_path, npz(tmp_path))
    choice = RunOptions(profile=ProfileName.smoke, offline=True)
    record = make_run(variant, "pets", choice, data=tmp_path / "data", results=tmp_path / "results")
    assert record.status == "complete", record.reason


def test_a_sweep_and_its_tables_have_it_as_a_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(tmp_path, npz(tmp_path))
    data, results = str(tmp_path / "data"), tmp_path / "results"
    chosen = ["--only", "linear/*", "--datasets", "pets", "--trials", "0", "--finals", "1"]
    where = ["--data", data, "--results", str(results), "--engine", "inline"]
    with pytest.raises(SystemExit) as ended:
        sweeps(["run", "--profile", "smoke", "--offline", *chosen, *where], standalone_mode=False)
    assert ended.value.code == 0
    table = (results / "report" / "tables" / "leaderboard.csv").read_text()
    assert "pets" in table
    assert "own" in table
    capsys.readouterr()
    sweeps(["list", "--data", data], standalone_mode=False)
    assert capsys.readouterr().out.splitlines()[0].split()[-1] == "pets"


def test_only_a_sweep_that_names_it_has_it(tmp_path: Path) -> None:
    before = matrix.choose_cells(()), matrix.choose_cells(("linear/*",))
    add(tmp_path, npz(tmp_path))
    assert (matrix.choose_cells(()), matrix.choose_cells(("linear/*",))) == before
    assert matrix.choose_cells(("linear/pets",)) == [("linear", "pets")]
    assert matrix.limit_to_datasets(["pets"], ()) == ("*/pets",)
    assert matrix.limit_to_datasets(["pets", "usps"], ("linear/*", "cnn/u*")) == (
        "linear/pets",
        "linear/usps",
        "cnn/usps",
    )
    with pytest.raises(InputError, match="did you mean 'pets'"):
        matrix.limit_to_datasets(["pet"], ())
    with pytest.raises(InputError, match="no cell on pets"):
        matrix.limit_to_datasets(["pets"], ("linear/usps",))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mnist", "is the name of a dataset of capsbench"),
        ("constellations", "is the name of a dataset of capsbench"),
        ("my-pets", "cannot be the name"),
        ("../pets", "cannot be the name"),
        ("Pets", "cannot be the name"),
        ("", "cannot be the name"),
    ],
)
def test_a_name_that_clashes_or_is_unsafe_is_refused(
    name: str, reason: str, tmp_path: Path
) -> None:
    assert reason in refused(tmp_path, npz(tmp_path), name=name)


def test_other_data_under_the_same_name_needs_replace(tmp_path: Path) -> None:
    first = add(tmp_path, npz(tmp_path))
    assert add(tmp_path, npz(tmp_path)) == first
    np.savez(tmp_path / "more.npz", images=ALL, labels=LABELS[70])
    with pytest.raises(InputError, match=r"another dataset called pets, from .*--replace"):
        add(tmp_path, tmp_path / "more.npz")
    assert read(tmp_path).sha256 == first.sha256
    second = add(tmp_path, tmp_path / "more.npz", "--replace")
    assert second.samples == (56, 14)
    assert "14 images were chosen as test images" in " ".join(second.notes)
    assert read(tmp_path).sha256 == second.sha256


@pytest.mark.parametrize("damage", ["header", "pixel", "cut"])
def test_a_damaged_file_is_named(damage: str, tmp_path: Path) -> None:
    add(tmp_path, npz(tmp_path))
    path = own_files.own_path(tmp_path / "data", "pets")
    content = bytearray(path.read_bytes())
    content[20 if damage == "header" else -1] ^= 255
    path.write_bytes(content[:-9] if damage == "cut" else content)
    with pytest.raises(InputError, match=r"pets\.safetensors .*: restore the file, or delete it"):
        read(tmp_path)


def test_an_unknown_name_is_refused_with_those_in_the_data_folder(tmp_path: Path) -> None:
    add(tmp_path, npz(tmp_path))
    with pytest.raises(InputError, match=r"did you mean 'pets'\? \(your own datasets are those in"):
        specify("linear", "petz", source=DataSource(tmp_path / "data"))
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(InputError, match=f"no dataset is called 'pets'.* in {elsewhere / 'own'}"):
        specify("linear", "pets", source=DataSource(elsewhere))
    with pytest.raises(InputError, match=f"linear/pets' matches no .* in {elsewhere / 'own'}"):
        matrix.choose_cells(("linear/pets",))


def test_images_of_several_sizes_are_resized_where_asked(tmp_path: Path) -> None:
    folder = image_folder(tmp_path)
    (folder / "train/cat/large.png").write_bytes(png(colours(1, 5, (30, 40, 3))[0]))
    assert "2 sizes (70 of 71 are 10×12): resize all with --size" in refused(tmp_path, folder)
    header = add(tmp_path, folder, "--size", "16x20")
    assert (header.shape, header.samples) == ((3, 16, 20), (61, 10))
    assert header.notes == ("Images were resized to 16×20 pixels.",)


def test_forms_of_images_are_converted_without_loss(tmp_path: Path) -> None:
    folder = image_folder(tmp_path)
    pixels = colours(1, 5)[0]
    (folder / "train/cat/alpha.png").write_bytes(png(pixels, "RGBA"))
    (folder / "train/cat/grey.png").write_bytes(png(pixels[..., 0]))
    (folder / "train/cat/.hidden").write_bytes(b"x")
    (folder / "train/cat/notes.txt").write_bytes(b"x")
    header = add(tmp_path, folder)
    assert header.samples == (62, 10)
    assert len(header.notes) == 2
    cats = read(tmp_path).train.images[30:32]
    np.testing.assert_array_equal(cats[0], pixels.transpose(2, 0, 1))
    np.testing.assert_array_equal(cats[1], np.repeat(pixels[None, ..., 0], 3, axis=0))


def test_validation_images_join_the_training_images(tmp_path: Path) -> None:
    folder = image_folder(tmp_path)
    (folder / "test").rename(folder / "val")
    header = add(tmp_path, folder)
    assert header.samples == (60, 10)
    assert header.notes == (
        "The validation images are the test images, since there are no others.",
    )
    (tmp_path / "more").mkdir()
    image_folder(tmp_path / "more").joinpath("test").rename(folder / "test")
    assert add(tmp_path, folder, "--replace").samples == (70, 10)


@pytest.mark.parametrize("beside", ["", "train"])
def test_files_beside_the_folders_of_classes_are_named(beside: str, tmp_path: Path) -> None:
    loose = image_folder(tmp_path) / beside / "loose.png"
    loose.write_bytes(png(TRAIN[0]))
    (note,) = add(tmp_path, tmp_path / "pets").notes
    assert note.endswith(f"no images in a folder of a class: 1 in all, as {loose}.")


def test_arrays_that_are_not_read_are_named(tmp_path: Path) -> None:
    with np.load(npz(tmp_path)) as stored:
        arrays: dict[str, Any] = {**stored, "x_val": TEST}
    np.savez(tmp_path / "more.npz", **arrays)
    assert add(tmp_path, tmp_path / "more.npz").notes == ("Left out: the arrays x_val.",)


def test_npy_needs_its_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", ALL[..., 0])
    np.save(tmp_path / "labels.npy", LABELS[70] + 5)
    assert "--labels FILE" in refused(tmp_path, tmp_path / "images.npy")
    header = add(tmp_path, tmp_path / "images.npy", "--labels", str(tmp_path / "labels.npy"))
    assert (header.shape, header.samples) == ((1, 10, 12), (56, 14))
    assert header.classes == ("5", "6")


def spoiled(root: Path, case: str) -> Path:
    """Makes a source that cannot be added, and returns its path."""
    folder = image_folder(root)
    path = root / "bad.npz"
    match case:
        case "cut image":
            file = folder / "train/cat/000.png"
            file.write_bytes(file.read_bytes()[:60])
        case "transparent":
            pixels = np.dstack([TRAIN[0], np.full(SHAPE[:2], 9, np.uint8)])
            (folder / "train/cat/000.png").write_bytes(png(pixels))
        case "deeper folder":
            (folder / "train/cat/more").mkdir()
        case "another part":
            (folder / "extra/cat").mkdir(parents=True)
        case "one class":
            np.savez(path, images=TRAIN, labels=np.zeros(60))
        case "rare class":
            np.savez(path, images=TRAIN, labels=np.arange(60) // 59)
        case "few images":
            np.savez(path, images=TRAIN[:20], labels=LABELS[60][:20])
        case "fewer labels":
            np.savez(path, images=TRAIN, labels=LABELS[60][:50])
        case "objects":
            np.savez(path, images=np.array([print] * 60), labels=LABELS[60])
        case "other names":
            np.savez(path, pictures=TRAIN, kinds=LABELS[60])
        case "axes":
            np.savez(path, images=TRAIN[:, :, :, :2], labels=LABELS[60])
        case "normalised":
            np.savez(path, images=TRAIN / 128.0 - 1, labels=LABELS[60])
        case "text":
            path.write_text("hello")
        case "script":
            path = root / "bad.py"
            path.write_text("half = 2\n1 / 0")
        case "transparent item":
            path = root / "bad.py"
            path.write_text(
                "from PIL import Image\ntrain = [(Image.new('RGBA', (9, 9), (1, 2, 3, 4)), 0)] * 60"
            )
        case "text as image":
            (folder / "train/cat/000.png").write_text("text")
        case "exit":
            path = root / "bad.py"
            path.write_text("import sys\nsys.exit(3)\n")
        case "loose images":
            shutil.move(folder / "train/cat", path := root / "flat")
        case "columns":
            path = root / "bad.parquet"
            pyarrow.parquet.write_table(pyarrow.table({"picture": [b"x"], "kind": [1]}), path)
    return folder if path.suffix == ".npz" and not path.exists() else path


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("cut image", r"cat/000\.png cannot be read"),
        ("transparent", r"cat/000\.png cannot be read \(it is partly transparent"),
        ("deeper folder", "cat/more is a folder in the folder of a class"),
        ("another part", "extra is neither training nor test data"),
        ("one class", "has one class"),
        ("rare class", "has [01] training images of the class 1"),
        ("few images", "has 16 training images: add some"),
        ("fewer labels", "has 60 train images and 50 labels"),
        ("objects", "holds Python objects"),
        ("other names", "it has kinds, pictures: name them with --images NAME"),
        ("axes", "no axis is clearly that of the 1 or 3 channels"),
        ("normalised", "its pixels are of -1 to 0.99"),
        ("text", "has a format that is not read"),
        ("script", r"ends with ZeroDivisionError in line 2 \(division by zero\)"),
        ("exit", r"ends with SystemExit in line 2 \(3\)"),
        ("loose images", "has no folders: make one .* or give --clips if it holds clips"),
        ("transparent item", r"bad\.py cannot be read \(it is partly transparent"),
        ("text as image", r"cat/000\.png cannot be read \(it is no image of the formats PNG, "),
        ("columns", "no column of images: its columns are picture, kind"),
    ],
)
def test_what_no_run_could_use_is_refused(case: str, reason: str, tmp_path: Path) -> None:
    path = spoiled(tmp_path, case)
    message = refused(tmp_path, path)
    assert str(path) in message
    with pytest.raises(InputError, match=reason):
        add(tmp_path, path)


def test_a_script_may_import_modules_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = script(tmp_path)
    (tmp_path / "parts_of_pets.py").write_text(path.read_text())
    path.write_text("from parts_of_pets import train, test, classes\n")
    assert add(tmp_path, path).samples == (60, 10)


@pytest.mark.parametrize(
    ("source", "option", "reason"),
    [
        (image_folder, "--labels", "is a folder of images"),
        (script, "--images", "is a script"),
        (image_folder, "--frames", "--frames is for clips"),
    ],
)
def test_an_option_that_the_source_does_not_use_is_refused(
    source: Callable[[Path], Path], option: str, reason: str, tmp_path: Path
) -> None:
    assert reason in refused(tmp_path, source(tmp_path), option, "9")


def test_named_arrays_are_used(tmp_path: Path) -> None:
    np.savez(tmp_path / "pets.npz", pictures=ALL, kinds=LABELS[70])
    names = ("--images", "pictures", "--labels", "kinds")
    assert add(tmp_path, tmp_path / "pets.npz", *names).samples == (56, 14)
