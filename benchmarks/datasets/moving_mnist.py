"""Moving MNIST: two bouncing digits (Srivastava, Mansimov, Salakhutdinov 2015).

Training sequences are `moving` MNIST train digits. The test set is the authors' file where it is on
disk (10,000 sequences of 20 frames), else `moving` MNIST test digits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.datasets.files import File, Layout

COLUMN = 1
SEQUENCES, FRAMES = 10_000, 20


def frames(path: Path) -> np.ndarray:
    """The file's uint8 (20, N, 64, 64) as (N, 20, 1, 64, 64), mapped copy-on-write."""
    array = np.lib.format.open_memmap(path, mode="c")
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[::2] != (FRAMES, 64):
        raise ValueError(f"it holds {array.dtype} {array.shape}, not uint8 (20, 10000, 64, 64)")
    if not 0 < array.shape[1] <= SEQUENCES or array.shape[3] != 64:
        raise ValueError(f"it holds {array.dtype} {array.shape}, not uint8 (20, 10000, 64, 64)")
    return array.transpose(1, 0, 2, 3)[:, :, None]


LAYOUT = Layout(
    folders=("MovingMNIST", "moving_mnist", "MovingMNIST/raw", "."),
    files=(
        File(
            "mnist_test_seq.npy",
            "be083ec986bfe91a449d63653c411eb2",
            "http://www.cs.toronto.edu/~nitish/unsupervised_video/mnist_test_seq.npy",
        ),
    ),
    decode=frames,
)
