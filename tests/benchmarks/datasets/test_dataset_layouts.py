"""Tests data files in the layouts that other tools write: they are read, or refused with a remedy.

Each dataset is written in another layout, and must equal the same dataset in its official files. If
a file looks like a dataset but has no readable form, it is named, and no stand-in is used.
"""

from __future__ import annotations

import gzip
import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import scipy.io
from PIL import Image

from benchmarks.datasets import array_files, parquet_files
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.moving_mnist import read_test_file
from benchmarks.records.errors import InputError
from tests.benchmarks.datasets import dataset_files as make

Files = dict[str, bytes]


def mnist(rename: Callable[[str], str], repack: Callable[[bytes], bytes] = lambda c: c) -> Files:
    return {rename(name): repack(content) for name, content in make.contents("mnist").items()}


def bare(name: str) -> str:
    return name.removesuffix(".gz")


def dotted(name: str) -> str:
    return bare(name).replace("-idx", ".idx")


def npz(**arrays: Any) -> bytes:
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    return packed.getvalue()


def npy(array: np.ndarray) -> bytes:
    packed = io.BytesIO()
    np.save(packed, array, allow_pickle=True)
    return packed.getvalue()


def hdf5(arrays: dict[str, np.ndarray]) -> bytes:
    packed = io.BytesIO()
    with h5py.File(packed, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return packed.getvalue()


def parquet(images: np.ndarray, labels: np.ndarray, image: str = "image") -> bytes:
    contents = []
    for pixels in images:
        packed = io.BytesIO()
        Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(
            packed, "PNG"
        )
        contents.append({"bytes": packed.getvalue(), "path": None})
    packed = io.BytesIO()
    table = pyarrow.table({image: contents, "label": labels})
    pyarrow.parquet.write_table(table, packed)
    return packed.getvalue()


def hub(name: str, folder: str, image: str = "image", shards: int = 1) -> Files:
    rows = np.array_split(np.arange(20), shards)
    train, test = make.pixels(name, 20), make.pixels(name, 10, seed=1)
    files = {
        f"{folder}/train-{n:05}-of-{shards:05}.parquet": parquet(
            train[r], make.digits(20)[r], image
        )
        for n, r in enumerate(rows)
    }
    return files | {f"{folder}/test-00000-of-00001.parquet": parquet(test, make.digits(10), image)}


def keras() -> bytes:
    a, b = make.pixels("mnist", 20)[:, 0], make.pixels("mnist", 10, seed=1)[:, 0]
    return npz(x_train=a, y_train=make.digits(20), x_test=b, y_test=make.digits(10))


def zip_code(samples: int, seed: int) -> bytes:
    values = (make.pixels("usps", samples, seed).reshape(samples, -1) + 0.5) / 255 * 2 - 1
    lines = [
        f"{label}.0000 " + " ".join(f"{v:.4f}" for v in row.clip(-1, 1))
        for label, row in zip(make.digits(samples), values, strict=True)
    ]
    return gzip.compress("\n".join(lines).encode())


def usps_h5() -> bytes:
    arrays = {}
    for part, samples, seed in (("train", 20, 0), ("test", 10, 1)):
        pixels = make.pixels("usps", samples, seed).reshape(samples, -1)
        arrays[f"{part}/data"] = ((pixels + 0.5) / 255).clip(0, 1).astype(np.float32)
        arrays[f"{part}/target"] = make.digits(samples)
    return hdf5(arrays)


def usps_text() -> Files:
    a, b = make.pixels("usps", 20), make.pixels("usps", 10, seed=1)
    return {
        "USPS/usps": make.libsvm(a, make.digits(20)),
        "USPS/usps.t": make.libsvm(b, make.digits(10)),
    }


def cifar(rename: Callable[[str], str], repack: Callable[[bytes], bytes] = lambda c: c) -> Files:
    return {rename(name): repack(content) for name, content in make.contents("cifar10").items()}


def cifar_binary() -> Files:
    def binary(images: np.ndarray, labels: np.ndarray) -> bytes:
        return np.hstack([labels[:, None].astype(np.uint8), images.reshape(-1, 3072)]).tobytes()

    images, labels = make.pixels("cifar10", 20), make.digits(20)
    parts = [binary(images[r], labels[r]) for r in np.split(np.arange(20), 5)]
    parts.append(binary(make.pixels("cifar10", 10, seed=1), make.digits(10)))
    return dict(zip((f"{name}.bin" for name in make.BATCHES), parts, strict=True))


def packed_cifar(prefix: str, files: Files) -> bytes:
    return make.tarball({f"{prefix}{name}": content for name, content in files.items()})


def svhn(y: Callable[[np.ndarray], np.ndarray], samples_first: bool = False) -> Files:
    files = {}
    for part, samples, seed in (("train", 20, 0), ("test", 10, 1)):
        pixels = make.pixels("svhn", samples, seed)
        x = pixels.transpose(0, 2, 3, 1) if samples_first else pixels.transpose(2, 3, 1, 0)
        packed = io.BytesIO()
        scipy.io.savemat(packed, {"X": x, "y": y(make.digits(samples))})
        files[f"SVHN/{part}_32x32.mat"] = packed.getvalue()
    return files


def ten(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == 0, 10, labels)


def svhn_73() -> Files:
    files = {}
    for part, samples, seed in (("train", 20, 0), ("test", 10, 1)):
        x = make.pixels("svhn", samples, seed).transpose(2, 3, 1, 0)
        content = hdf5({"X": x.T, "y": ten(make.digits(samples))[None].astype(float)})
        files[f"SVHN/{part}_32x32.mat"] = content
    return files


PY = "cifar-10-batches-py"
LAYOUTS: dict[str, dict[str, Callable[[], Files]]] = {
    "mnist": {
        "dots in the names": lambda: mnist(dotted, gzip.decompress),
        "a folder per file": lambda: mnist(lambda n: f"{bare(n)}/{bare(n)}", gzip.decompress),
        "unpacked, .gz kept": lambda: mnist(lambda n: f"MNIST/raw/{n}", gzip.decompress),
        "packed, .gz cut off": lambda: mnist(lambda n: f"MNIST/raw/{bare(n)}"),
        "torchvision's folder twice": lambda: mnist(lambda n: f"MNIST/MNIST/raw/{n}"),
        "the root is the folder MNIST": lambda: mnist(lambda n: f"raw/{n}"),
        "packed and unpacked": lambda: (
            mnist(lambda n: f"MNIST/raw/{n}")
            | {"MNIST/raw/t10k-labels-idx1-ubyte": make.idx(make.digits(10).astype(np.uint8))}
        ),
        "in Moving MNIST's folder": lambda: mnist(lambda n: f"moving_mnist/{n}"),
        "Keras": lambda: {"mnist.npz": keras()},
        "Parquet": lambda: hub("mnist", "mnist"),
        "Parquet in shards": lambda: hub("mnist", "mnist", shards=3),
    },
    "usps": {
        "unpacked": usps_text,
        "zip.train": lambda: {
            "USPS/zip.train.gz": zip_code(20, 0),
            "USPS/zip.test.gz": zip_code(10, 1),
        },
        "HDF5": lambda: {"USPS/usps.h5": usps_h5()},
        "Parquet": lambda: hub("usps", "usps/data"),
    },
    "cifar10": {
        "Kaggle's folder": lambda: cifar(lambda n: f"cifar-10-python/{PY}/{n}"),
        "the root is the folder": lambda: cifar(lambda n: n),
        "binary": lambda: {f"cifar-10-batches-bin/{n}": c for n, c in cifar_binary().items()},
        "binary archive": lambda: {
            "cifar-10-binary.tar.gz": packed_cifar("cifar-10-batches-bin/", cifar_binary())
        },
        "archive in the folder": lambda: {
            f"{PY}/cifar-10-python.tar.gz": packed_cifar(f"{PY}/", cifar(str))
        },
        "archive with ./": lambda: {"cifar-10-python.tar.gz": packed_cifar(f"./{PY}/", cifar(str))},
        "Keras's name": lambda: {f"{PY}.tar.gz": packed_cifar(f"{PY}/", cifar(str))},
        "unpacked archive": lambda: {
            "cifar-10-python.tar": gzip.decompress(packed_cifar(f"{PY}/", cifar(str)))
        },
        "cut archive beside the folder": lambda: {
            "cifar-10-python.tar.gz": packed_cifar(f"{PY}/", cifar(str))[:9_000],
            **cifar(lambda n: f"{PY}/{n}"),
        },
        "empty archive beside the folder": lambda: {
            "cifar-10-python.tar.gz": b"",
            **cifar(lambda n: f"{PY}/{n}"),
        },
        "Parquet": lambda: hub("cifar10", "cifar10/plain_text", image="img"),
    },
    "svhn": {
        "int64": lambda: svhn(lambda y: ten(y)[:, None].astype(np.int64)),
        "one axis": lambda: svhn(lambda y: ten(y).astype(np.uint8)),
        "floats": lambda: svhn(lambda y: ten(y).astype(float)),
        "0 for the digit 0": lambda: svhn(lambda y: y[:, None].astype(np.uint8)),
        "samples first": lambda: svhn(lambda y: ten(y)[:, None], samples_first=True),
        "MATLAB 7.3": svhn_73,
        "Parquet": lambda: hub("svhn", "cropped_digits"),
    },
}


def put(root: Path, files: Files) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "layout"), [(name, layout) for name, found in LAYOUTS.items() for layout in found]
)
def test_layout_is_read(name: str, layout: str, tmp_path: Path) -> None:
    put(tmp_path, LAYOUTS[name][layout]())
    data = make.read(name, tmp_path)
    assert data.state == "partial"
    for split, samples, seed in ((data.train, 20, 0), (data.test, 10, 1)):
        np.testing.assert_array_equal(split.images, make.pixels(name, samples, seed))
        np.testing.assert_array_equal(split.labels, make.digits(samples))
        assert split.labels.dtype == np.int64


def test_cut_archive_beside_the_folder_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, LAYOUTS["cifar10"]["cut archive beside the folder"]())
    make.read("cifar10", tmp_path)
    (warning,) = caplog.messages
    assert str(tmp_path / "cifar-10-python.tar.gz") in warning
    assert warning.endswith(f"the files in {tmp_path / PY} are used.")


FRAMES = np.random.default_rng(0).integers(0, 256, (20, 7, 64, 64), np.uint8)
SEQUENCES = {
    "sequences first": npy(FRAMES.swapaxes(0, 1)),
    "columns first": npy(np.asfortranarray(FRAMES)),
    "with channels": npy(FRAMES[:, :, None]),
    "with channels last": npy(FRAMES[..., None]),
    "floats of 0 to 1": npy((FRAMES / 255).astype(np.float32)),
    "floats of 0 to 255": npy(FRAMES.astype(float)),
    "int64": npy(FRAMES.astype(np.int64)),
    "npz": npz(arr_0=FRAMES),
}


@pytest.mark.parametrize("form", SEQUENCES)
def test_test_file_of_moving_mnist_in_another_form(form: str, tmp_path: Path) -> None:
    name = "mnist_test_seq.npz" if form == "npz" else "mnist_test_seq.npy"
    put(tmp_path, {f"MovingMNIST/{name}": SEQUENCES[form]})
    found = read_test_file(DataSource(tmp_path))
    assert found is not None
    np.testing.assert_array_equal(found.frames[:, :, 0], FRAMES.swapaxes(0, 1))
    assert found.state == "partial"


PNG_FOLDER = {"MNIST/training/0/1.png": b"x"}
LOOKALIKES: dict[tuple[str, str], Files] = {
    ("mnist", "a CSV file"): {"mnist_train.csv": b"label,1x1\n"},
    ("mnist", "a pickle"): {"mnist.pkl.gz": b""},
    ("mnist", "an archive"): {"downloads/MNIST.zip": b"PK"},
    ("mnist", "images"): PNG_FOLDER,
    ("mnist", "EMNIST's digits"): {"EMNIST/raw/emnist-digits-test-images-idx3-ubyte.gz": b""},
    ("usps", "a MATLAB file"): {"usps_all.mat": b""},
    ("cifar10", "MATLAB's batches"): {"cifar-10-batches-mat/data_batch_1.mat": b""},
    ("cifar10", "an archive"): {"cifar-10.zip": b""},
    ("svhn", "whole numbers"): {"SVHN/full_numbers/train.tar.gz": b""},
    ("svhn", "extra alone"): {"elsewhere/extra_32x32.mat": b""},
    ("moving_mnist", "HDF5"): {"MovingMNIST/test.h5": b""},
    ("moving_mnist", "an archive"): {"moving-mnist.zip": b""},
}


@pytest.mark.parametrize(("name", "case"), LOOKALIKES)
def test_file_that_looks_like_the_dataset_is_named(name: str, case: str, tmp_path: Path) -> None:
    put(tmp_path, LOOKALIKES[name, case])
    moving = name == "moving_mnist"
    with pytest.raises(InputError) as caught:
        read_test_file(DataSource(tmp_path)) if moving else make.read(name, tmp_path, 10, 10)
    (file,) = LOOKALIKES[name, case]
    assert str(caught.value).startswith(f"{tmp_path / file} looks like a file of {name}, but")
    assert re.search(r": put \S+.* into .*, or move this file out", str(caught.value))


@pytest.mark.parametrize("name", ["mnist", "usps", "cifar10", "svhn"])
def test_other_files_do_not_look_like_the_dataset(name: str, tmp_path: Path) -> None:
    others = (other for other in make.FOLDERS if other != name)
    files = {
        f"{make.FOLDERS[other]}/{file}": content
        for other in others
        for file, content in make.contents(other).items()
    }
    fashion = {f"FashionMNIST/raw/{file}": c for file, c in make.contents("mnist").items()}
    results = {f"results/runs/{name}-1/{file}": b"" for file in ("record.json", "codes.png")}
    put(tmp_path, files | fashion | results | {"MovingMNIST/mnist_test_seq.npy": npy(FRAMES)})
    assert make.read(name, tmp_path, 10, 10).state == "stand-in"


def test_fashion_mnist_is_not_read_as_mnist(tmp_path: Path) -> None:
    root = tmp_path / "FashionMNIST"
    put(root, mnist(lambda n: f"raw/{n}"))
    with pytest.raises(InputError, match=r"raw/t10k-images.* looks like a file of mnist"):
        make.read("mnist", root, 10, 10)


def linked_hdf5(tmp_path: Path) -> bytes:
    """Makes a file whose arrays are links to another file."""
    (tmp_path / "secret.h5").write_bytes(usps_h5())
    packed = io.BytesIO()
    with h5py.File(packed, "w") as file:
        file["train"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "train")
    return packed.getvalue()


def external_hdf5(tmp_path: Path) -> bytes:
    """Makes a file whose arrays are the bytes of another file."""
    (tmp_path / "secret").write_bytes(bytes(1 << 16))
    path = tmp_path / "external.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "train/data", (20, 256), "f4", external=[(str(tmp_path / "secret"), 0, 20 << 10)]
        )
    return path.read_bytes()


def huge_hdf5(tmp_path: Path) -> bytes:
    packed = io.BytesIO()
    with h5py.File(packed, "w") as file:
        file.create_dataset("train/data", (1 << 40, 256), "f4", chunks=(1, 256))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (linked_hdf5, "no array train/data"),
        (external_hdf5, "in another file"),
        (huge_hdf5, "more than 8 GiB"),
    ],
)
def test_hostile_hdf5_is_refused(
    content: Callable[[Path], bytes], reason: str, tmp_path: Path
) -> None:
    put(tmp_path / "data", {"USPS/usps.h5": content(tmp_path)})
    with pytest.raises(InputError, match=f"usps.h5 cannot be read .*{reason}"):
        make.read("usps", tmp_path / "data", 10, 10)


def test_npz_that_would_run_code_or_fill_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = npz(x_train=np.array([print], object), y_train=np.zeros(1))
    monkeypatch.setattr(array_files, "MAX_BYTES", 1 << 20)
    for content, reason in ((objects, "Python objects"), (npz(a=np.zeros(1 << 20)), "claims")):
        (tmp_path / "mnist.npz").write_bytes(content)
        with pytest.raises(InputError, match=f"mnist.npz cannot be read .*{reason}"):
            make.read("mnist", tmp_path)


def test_parquet_file_that_is_too_large_or_lacks_a_shard_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, hub("mnist", "mnist", shards=2))
    (tmp_path / "mnist/train-00001-of-00002.parquet").unlink()
    with pytest.raises(InputError, match=r"shard train-00001-of-00002\.parquet is missing"):
        make.read("mnist", tmp_path)
    put(tmp_path, hub("mnist", "mnist", shards=2))
    monkeypatch.setattr(parquet_files, "MAX_ROWS", 5)
    with pytest.raises(InputError, match="it claims 10 rows"):
        make.read("mnist", tmp_path)


def test_pickled_array_of_protocol_5_that_claims_much_is_refused(tmp_path: Path) -> None:
    put(tmp_path, cifar(lambda n: f"{PY}/{n}"))
    content = pickle.dumps(bytearray(b"x" * 300), protocol=5).replace(
        (300).to_bytes(8, "little"), (1 << 60).to_bytes(8, "little")
    )
    (tmp_path / PY / "data_batch_2").write_bytes(content)
    with pytest.raises(InputError, match="data_batch_2 cannot be read"):
        make.read("cifar10", tmp_path)
