"""Tests states and fingerprints of data, the cache, stand-ins, and the real data."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks import datasets
from benchmarks.datasets import mnist
from benchmarks.datasets.still_images import StillImages
from benchmarks.records.errors import InputError
from tests.benchmarks.datasets import dataset_files as make


def test_state_is_official_unofficial_or_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = mnist.DATASET
    sums = [hashlib.md5(content).hexdigest() for content in make.contents("mnist").values()]
    files = [dataclasses.replace(f, md5=m) for f, m in zip(mnist.IDX.files, sums, strict=True)]
    layout = dataclasses.replace(mnist.IDX, files=tuple(files))
    known = dataclasses.replace(unknown, layouts=(layout,))

    found: list[StillImages] = []
    for source, official_size in ((known, 20), (unknown, 20), (known, 21)):
        sized = dataclasses.replace(source, samples=(official_size, 10))
        monkeypatch.setattr(mnist, "DATASET", sized)
        root = tmp_path / str(len(found))
        make.write("mnist", root)
        found.append(make.read("mnist", root))
    assert [data.state for data in found] == ["official", "unofficial", "partial"]
    assert len({data.sha256 for data in found}) == 1


def test_fingerprint_is_of_dtype_shape_and_bytes(tmp_path: Path) -> None:
    make.write("mnist", tmp_path)
    data, digest = make.read("mnist", tmp_path), hashlib.sha256()
    for split in (data.train, data.test):
        digest.update(b"|u1" + str(split.images.shape).encode() + split.images.tobytes())
        digest.update(b"<i8" + str(split.labels.shape).encode() + split.labels.tobytes())
    assert data.sha256 == digest.hexdigest()


def test_arrays_lie_in_memory_once(tmp_path: Path) -> None:
    make.write("usps", tmp_path)
    assert make.read("usps", tmp_path) is make.read("usps", tmp_path, train=5, test=5)


def test_stand_in_serves_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = make.read("svhn", tmp_path, train=30, test=20)
    assert (data.state, data.path) == ("stand-in", "rendered")
    assert (len(data.train.labels), len(data.test.labels)) == (30, 20)
    make.read("svhn", tmp_path, train=30, test=20)
    (said,) = caplog.messages
    assert "svhn" in said
    assert "stand-in" in said


def test_stand_in_has_the_official_size_where_none_is_asked(tmp_path: Path) -> None:
    data = make.read("usps", tmp_path)
    assert (len(data.train.labels), len(data.test.labels)) == (7_291, 2_007)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mnits", "did you mean 'mnist'"),
        ("still", "usps"),
        ("", "usps"),
    ],
)
def test_unknown_name_is_refused(name: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        datasets.find(name)


REAL = {
    "mnist": ("official", 60_000, 10_000, "MNIST/raw", "11de40ec28a7"),
    "usps": ("unofficial", 7_291, 2_007, "USPS", "ff8b66ea374a"),
    "cifar10": ("unofficial", 50_000, 10_000, "cifar-10-batches-py", "e7da5d97067e"),
    "svhn": ("partial", 6_582, 3_000, "SVHN", "624cbaf8e8ce"),
}


@pytest.mark.parametrize("name", REAL)
def test_real_data(name: str, real_data: Path) -> None:
    state, train, test, folder, sha256 = REAL[name]
    data = make.read(name, real_data)
    assert (data.state, len(data.train.labels), len(data.test.labels)) == (state, train, test)
    assert data.path == str(real_data / folder)
    assert data.sha256.startswith(sha256)
    for split in (data.train, data.test):
        assert len(split.images) == len(split.labels)
        np.testing.assert_array_equal(np.unique(split.labels), np.arange(10))


def test_real_mnist_unpacked_is_official_too(real_data: Path, tmp_path: Path) -> None:
    for path in (real_data / "MNIST/raw").glob("*.gz"):
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    data = make.read("mnist", tmp_path)
    assert (data.state, data.sha256) == ("official", make.read("mnist", real_data).sha256)
