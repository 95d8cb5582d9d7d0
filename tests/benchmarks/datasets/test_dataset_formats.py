"""Tests that files of each format are read correctly, or refused with a message of one sentence."""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.datasets import cifar10, mnist, svhn, usps
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.moving_mnist import read_test_file
from benchmarks.records.errors import InputError
from tests.benchmarks.datasets import dataset_files as make

STILLS = ("mnist", "usps", "cifar10", "svhn")


def refused(load: Callable[[], object], *, names: str) -> str:
    """Returns the message of the InputError, which is one line and names the file."""
    with pytest.raises(InputError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert names in message
    return message


@pytest.mark.parametrize("name", STILLS)
def test_small_files_come_back_as_they_were_written(name: str, tmp_path: Path) -> None:
    folder = make.write(name, tmp_path)
    data = make.read(name, tmp_path)
    for split, samples, seed in ((data.train, 20, 0), (data.test, 10, 1)):
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
        assert split.images.flags.c_contiguous
        assert split.images.flags.writeable
        np.testing.assert_array_equal(split.images, make.pixels(name, samples, seed))
        np.testing.assert_array_equal(split.labels, make.digits(samples))
    assert (data.name, data.state, data.classes) == (name, "partial", 10)
    assert data.path == str(folder)


def test_mnist_unpacked_in_the_root_itself(tmp_path: Path) -> None:
    for file, content in make.contents("mnist").items():
        (tmp_path / file.removesuffix(".gz")).write_bytes(gzip.decompress(content))
    np.testing.assert_array_equal(
        make.read("mnist", tmp_path).train.images, make.pixels("mnist", 20)
    )


def test_cifar10_from_its_archive(tmp_path: Path) -> None:
    members = {f"cifar-10-batches-py/{n}": c for n, c in make.contents("cifar10").items()}
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(make.tarball({"cifar-10-batches-py/readme.html": b"hello"} | members))
    data = make.read("cifar10", tmp_path)
    np.testing.assert_array_equal(data.train.images, make.pixels("cifar10", 20))
    np.testing.assert_array_equal(data.test.images, make.pixels("cifar10", 10, seed=1))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", [list, np.array])
def test_cifar10_pickled_anew_by_python_3(protocol: int, kind: type, tmp_path: Path) -> None:
    images = make.pixels("cifar10", 4)
    labels = kind([1, 2, 3, 4])
    content = {"data": images.reshape(4, -1), "labels": labels, "batch_label": "one"}
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    found = cifar10.read_batch(path)
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.labels, [1, 2, 3, 4])


def hostile(code: str) -> bytes:
    return f"cos\nsystem\n(S'{code}'\ntR.".encode()


def bomb(*shape: int) -> bytes:
    """Makes a gzipped idx file whose zeros unpack to 64 MiB."""
    packer = zlib.compressobj(9, wbits=31)
    zeros = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64))
    return gzip.compress(struct.pack(">HBB3I", 0, 8, 3, *shape)) + zeros + packer.flush()


def zipped(*shape: int, fill: int = 0) -> bytes:
    return gzip.compress(make.idx(np.full(shape, fill, np.uint8)))


def houses(**arrays: np.ndarray) -> bytes:
    """Makes a MATLAB file of two house numbers, in which some arrays are replaced."""
    packed = io.BytesIO()
    whole = {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.ones((2, 1), np.uint8)}
    scipy.io.savemat(packed, {k: v for k, v in (whole | arrays).items() if v.size})
    return packed.getvalue()


def swapped(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def swap(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new)

    return swap


def line(**changes: str) -> bytes:
    row = "1 " + " ".join(f"{n}:0.5" for n in range(1, 257))
    for old, new in changes.items():
        row = row.replace(old.replace("_", ":"), new)
    return bz2.compress(row.encode())


Spoil = Callable[[bytes], bytes] | bytes
HALF: Spoil = lambda content: content[: len(content) // 2]  # noqa: E731
EMPTY = np.zeros(0)
BAD: dict[tuple[str, str], dict[str, Spoil]] = {
    ("mnist", "train-images-idx3-ubyte.gz"): {
        "cut": HALF,
        "garbage": b"\x00garbage" * 100,
        "nothing": b"",
        "a byte flipped": lambda c: c[:500] + bytes([c[500] ^ 255]) + c[501:],
        "floats": gzip.compress(b"\x00\x00\x0d\x03" + bytes(99)),
        "absurd claim": bomb(4**15, 28, 28),
        "bomb": bomb(20, 28, 28),
        "another size": zipped(20, 9, 9),
        "no samples": zipped(0, 28, 28),
        "labels": zipped(20),
    },
    ("mnist", "train-labels-idx1-ubyte.gz"): {
        "label 10": zipped(20, fill=10),
        "fewer labels": zipped(19),
        "images": zipped(20, 28, 28),
    },
    ("usps", "usps.bz2"): {
        "cut": lambda c: c[:-20],
        "nothing": bz2.compress(b""),
        "words": bz2.compress(b"hello world\n"),
        "not a number": line(**{" 7_0.5": " 7:nan"}),
        "beyond 1": line(**{" 7_0.5": " 7:1.5"}),
        "label 11": line(**{"1 1": "11 1"}),
        "an index twice": line(**{" 7_": " 8:"}),
        "short line": line(**{" 256_0.5": ""}),
        "bomb": bz2.compress(bytes(9 << 20)),
    },
    ("cifar10", "data_batch_2"): {
        "cut": HALF,
        "nothing": b"",
        "a list": pickle.dumps([1, 2]),
        "no labels": pickle.dumps({"data": 1}),
        "no array": pickle.dumps({"data": b"", "labels": []}),
        "floats": swapped(b"U\x02u1", b"U\x02f8"),
        "columns first": swapped(b"tb\x89T", b"tb\x88T"),
        "other rows": swapped(b"M\x00\x0c\x86", b"M\x01\x0c\x86"),
        "huge memo": b"\x80\x02}r\xff\xff\xff\x7f.",
        "asks for numpy.load": b"cnumpy\nload\n(S'x'\ntR.",
        "asks for rot13": b"c_codecs\nencode\n(Vx\nS'rot13'\ntR.",
    },
    ("svhn", "train_32x32.mat"): {
        "cut": HALF,
        "garbage": b"garbage" * 100,
        "version 7.3": lambda c: c[:124] + b"\x00\x02IM" + c[128:],
        "objects": houses(X=np.array([{"a": 1}, [2]], object)),
        "no X": houses(X=EMPTY),
        "no y": houses(y=EMPTY),
        "floats": houses(X=np.zeros((32, 32, 3, 2))),
        "fewer labels": houses(y=np.ones((1, 1), np.uint8)),
        "label 11": houses(y=np.full((2, 1), 11, np.uint8)),
    },
}


@pytest.mark.parametrize(
    ("name", "file", "case"), [(*key, case) for key, cases in BAD.items() for case in cases]
)
def test_bad_file_is_refused_in_one_sentence(
    name: str, file: str, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usps, "MAX_BYTES", 8 << 20)
    spoil = BAD[name, file][case]
    path = make.write(name, tmp_path) / file
    path.write_bytes(spoil if isinstance(spoil, bytes) else spoil(path.read_bytes()))
    refused(lambda: make.read(name, tmp_path), names=str(path.parent))


@pytest.mark.parametrize("packed", [False, True])
def test_pickle_that_runs_a_command_runs_nothing(packed: bool, tmp_path: Path) -> None:
    content = hostile(f"touch {tmp_path / 'ran'}")
    if packed:
        path = tmp_path / "cifar-10-python.tar.gz"
        path.write_bytes(make.tarball({"cifar-10-batches-py/data_batch_1": content}))
    else:
        path = make.write("cifar10", tmp_path) / "data_batch_1"
        path.write_bytes(content)
    assert "os.system" in refused(lambda: make.read("cifar10", tmp_path), names=str(path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"../escaped": b"x"}, "outside the destination"),
        ({"cifar-10-batches-py/readme.html": b"x"}, "it has no data_batch_1"),
        ({"cifar-10-batches-py/data_batch_1": bytes(3 << 20)}, "longer than 2 MiB"),
        ({"zeros": bytes(9 << 20)}, "far more"),
    ],
)
def test_hostile_archive_is_refused(
    members: dict[str, bytes], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar10, "MAX_BYTES", 2 << 20)
    monkeypatch.setattr(cifar10, "MAX_ARCHIVE_BYTES", 8 << 20)
    root = tmp_path / "data"
    root.mkdir()
    path = root / "cifar-10-python.tar.gz"
    path.write_bytes(make.tarball(members))
    assert reason in refused(lambda: make.read("cifar10", root), names=str(path))
    assert list(tmp_path.iterdir()) == [root]


def test_archive_with_a_link_for_a_batch_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        entry = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    refused(lambda: make.read("cifar10", tmp_path), names=str(path))


@pytest.mark.parametrize("missing", ["train_32x32.mat", "test_32x32.mat"])
def test_half_a_data_set_names_the_missing_file(missing: str, tmp_path: Path) -> None:
    (make.write("svhn", tmp_path) / missing).unlink()
    refused(lambda: make.read("svhn", tmp_path), names=missing)


def test_file_one_may_not_read_is_named(tmp_path: Path) -> None:
    path = make.write("usps", tmp_path) / "usps.bz2"
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        refused(lambda: make.read("usps", tmp_path), names=str(path))
    else:
        pytest.skip("this user may read everything")


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_no_bytes_make_a_reader_fail_otherwise_than_by_an_exception(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "file"
    path.write_bytes(content)
    for read in (
        mnist.read_idx,
        usps.read_text,
        cifar10.read_batch,
        cifar10.read_archive,
        svhn.read_mat,
    ):
        with pytest.raises(Exception):  # noqa: B017, PT011
            read(path)


def sequences(root: Path, array: np.ndarray) -> Path:
    path = root / "MovingMNIST" / "mnist_test_seq.npy"
    path.parent.mkdir()
    np.save(path, array, allow_pickle=True)
    return path


def test_moving_mnist_is_mapped_and_turned(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (20, 7, 64, 64), np.uint8)
    path = sequences(tmp_path, array)
    found = read_test_file(DataSource(tmp_path))
    assert found is not None
    frames, state, sha256, folder = found
    assert (frames.shape, frames.dtype) == ((7, 20, 1, 64, 64), np.uint8)
    np.testing.assert_array_equal(frames[:, :, 0], array.swapaxes(0, 1))
    assert isinstance(frames.base, np.memmap)
    assert (state, len(sha256), folder) == ("partial", 64, str(path.parent))


def test_moving_mnist_is_none_where_it_is_not(tmp_path: Path) -> None:
    assert read_test_file(DataSource(tmp_path)) is None


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((20, 20, 64, 64), np.uint8),
        np.full((20, 3, 64, 64), 1.5, np.float32),
        np.zeros((20, 3, 64), np.uint8),
        np.zeros((20, 0, 64, 64), np.uint8),
        np.array([print, "x"], object),
    ],
    ids=["20 sequences of 20 frames", "fractions", "no rows", "no sequences", "objects"],
)
def test_other_arrays_are_refused(array: np.ndarray, tmp_path: Path) -> None:
    path = sequences(tmp_path, array)
    refused(lambda: read_test_file(DataSource(tmp_path)), names=str(path))


def test_cut_array_is_refused(tmp_path: Path) -> None:
    path = sequences(tmp_path, np.zeros((20, 3, 64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:-1])
    refused(lambda: read_test_file(DataSource(tmp_path)), names=str(path))
