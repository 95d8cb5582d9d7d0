"""Renders stand-ins for datasets that are neither on disk nor reachable.

Rendering uses only arithmetic that rounds equally on all machines: no sines, no matrix products of
a library. Its random numbers are a pure function of (dataset, part, index of the sample). The bytes
are therefore equal in all processes, and a sample does not depend on the number of samples. Classes
are balanced.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.datasets.random_numbers import random_words, uniform_floats
from benchmarks.datasets.task_data import Split

CHUNK = 1000
"""Number of samples drawn at a time, so that they fit the processor's cache."""

# Strokes of the digits 0 to 9, as points (x to the right, y down) on a square of side 100.
_STROKES = (
    "50,05 85,25 85,75 50,95 15,75 15,25 50,05",
    "30,25 52,05 52,95",
    "18,28 30,08 65,05 82,25 70,50 18,95 85,95",
    "20,10 75,05 80,30 45,47 85,60 80,92 20,93",
    "65,95 65,05 15,65 88,65",
    "80,06 28,06 24,45 60,38 85,60 75,92 20,93",
    "70,06 35,25 18,65 35,95 72,92 80,65 50,50 20,68",
    "15,07 85,07 45,95",
    "50,48 20,30 30,06 70,06 80,30 50,48 15,70 30,95 70,95 85,70 50,48",
    "78,35 50,52 20,35 30,07 70,06 80,35 72,70 50,95",
)
_POINTS, _KNOTS = 96, 5


@dataclass(frozen=True)
class Pen:
    """Says how digits are written, and how much the writing varies."""

    name: str
    """The name of the dataset."""
    size: int
    """Height and width of an image, in pixels."""
    height: float
    """Height of a digit, in pixels."""
    lean: float
    """Largest shear, and largest relative change of the width."""
    shake: float
    """Largest displacement of a point of a stroke, as a share of the digit's height."""
    shift: float
    """Largest distance of a digit from the centre along each axis, in pixels."""
    blur: int
    """How often strokes are smoothed."""
    ink: tuple[float, float]
    """Smallest and largest factor of a stroke's brightness."""


PENCIL = Pen("mnist", 28, height=19, lean=0.35, shake=0.12, shift=2.5, blur=1, ink=(1.2, 2.6))
MARKER = Pen("usps", 16, height=13, lean=0.4, shake=0.14, shift=1, blur=2, ink=(0.6, 1.2))
SIGN = Pen("svhn", 32, height=20, lean=0.2, shake=0.06, shift=2.5, blur=2, ink=(1.8, 3.0))


def handwriting(pen: Pen, part: str, count: int) -> Split:
    """Renders handwritten digits, light on black.

    Args:
        pen: how digits are written.
        part: `train` or `test`.
        count: number of images.

    Returns:
        Images uint8 (count, 1, size, size) and their classes.
    """

    def draw(sample: np.ndarray, label: np.ndarray) -> np.ndarray:
        return 255 * _written(pen, _draws(pen.name, part, sample, 32), label)[:, None]

    return _chunks(pen.name, part, count, draw)


def house_numbers(part: str, count: int) -> Split:
    """Renders coloured digits between parts of neighbouring digits, on a shaded, noisy background.

    Args:
        part: `train` or `test`.
        count: number of images.

    Returns:
        Images uint8 (count, 3, 32, 32) and the classes of the middle digits.
    """

    def draw(sample: np.ndarray, label: np.ndarray) -> np.ndarray:
        ink = _written(SIGN, _draws("svhn", part, sample, 32), label)
        for side in (-1, 1):
            u = _draws(f"svhn{side}", part, sample, 34)
            away = side * (15 + 5 * u[:, 32])
            other = (10 * u[:, 33]).astype(np.int64)
            ink = np.maximum(ink, _written(SIGN, u[:, :32], other, away))
        u = _draws("svhn colours", part, sample, 9)
        paper, shade = u[:, :3], (u[:, 3:5] - 0.5) * 0.5
        contrast = 0.25 + 0.4 * u[:, 5:8]
        paint = np.where(
            paper[:, :1] + paper[:, 1:2] + paper[:, 2:] < 1.5, paper + contrast, paper - contrast
        )
        ramp = np.arange(32, dtype=np.float32) / 32 - np.float32(0.5)
        light = shade[:, :1, None] * ramp[:, None] + shade[:, 1:, None] * ramp
        image = paper[:, :, None, None] + light[:, None]
        image = image + ink[:, None] * (paint - paper)[:, :, None, None]
        return 255 * image + 24 * u[:, 8, None, None, None] * _noise("svhn", part, sample)

    return _chunks("svhn", part, count, draw)


def textured_shapes(part: str, count: int) -> Split:
    """Renders textured shapes: a disc, square, triangle, cross or ring, striped or chequered.

    The class is 2 · shape + texture. Position, size, rotation, colours and the stripes of the
    background vary.

    Args:
        part: `train` or `test`.
        count: number of images.

    Returns:
        Images uint8 (count, 3, 32, 32) and their classes.
    """
    row, column = np.mgrid[:32, :32].astype(np.float32)

    def draw(sample: np.ndarray, label: np.ndarray) -> np.ndarray:
        u = _draws("cifar10", part, sample, 24)[:, :, None, None]
        radius, across, down = 8 + 5 * u[:, 0], 16 + 8 * (u[:, 1] - 0.5), 16 + 8 * (u[:, 2] - 0.5)
        x, y = _turned((column - across) / radius, (row - down) / radius, u[:, 3])
        inside = np.choose(
            label[:, None, None] // 2,
            [
                x * x + y * y < 1,
                np.maximum(abs(x), abs(y)) < 0.85,
                (y < 0.7) & (1.8 * abs(x) < y + 1.1),
                (np.minimum(abs(x), abs(y)) < 0.33) & (np.maximum(abs(x), abs(y)) < 1),
                abs(x * x + y * y - 0.7) < 0.38,
            ],
        )
        p, q = _turned(column, row, u[:, 4])
        width = 2.5 + 1.5 * u[:, 5]
        stripe, check = _odd(p / width), _odd(p / width) ^ _odd(q / width)
        texture = np.where(label[:, None, None] % 2 == 0, stripe, check)
        ground = _odd(_turned(column, row, u[:, 6])[0] / (3 + 6 * u[:, 7]))
        light, dark, far, near = (u[:, k : k + 3] for k in (8, 11, 14, 17))
        dark = (light + 0.35 + 0.3 * dark) % 1
        near = far + 0.3 * (near - 0.5)
        image = np.where(
            inside[:, None],
            np.where(texture[:, None], light, dark),
            np.where(ground[:, None], far, near),
        )
        return 255 * image + 40 * u[:, 20, None] * _noise("cifar10", part, sample)

    return _chunks("cifar10", part, count, draw)


def _chunks(
    name: str, part: str, count: int, draw: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Split:
    """Renders the samples 0 … count−1 in chunks.

    Args:
        name: the name of the dataset.
        part: `train` or `test`.
        count: number of samples.
        draw: returns brightnesses from 0 to 255 for indices of samples and their labels.
    """
    blocks = np.arange(-(-count // 10))
    labels = _words(name + " labels", part, blocks, 10).argsort(1).ravel()[:count]
    images = []
    for start in range(0, count, CHUNK):
        sample = np.arange(start, min(start + CHUNK, count))
        images.append(draw(sample, labels[sample]).clip(0, 255).astype(np.uint8))
    return Split(np.concatenate(images), labels)


def _written(
    pen: Pen, u: np.ndarray, label: np.ndarray, away: np.ndarray | float = 0.0
) -> np.ndarray:
    """Draws digits.

    Args:
        pen: how digits are written.
        u: (n, 32) uniform in [0, 1), the random variation of each digit.
        label: (n,) int64, the digits.
        away: pixels by which the digits are moved to the right.

    Returns:
        (n, size, size) brightness in [0, 1].
    """
    v = 2 * u[:, :, None] - 1
    x, y = _LINES[label, :, 0], _LINES[label, :, 1]
    for knot in range(_KNOTS):
        x = x + pen.shake * _HATS[knot] * v[:, knot]
        y = y + pen.shake * _HATS[knot] * v[:, 8 + knot]
    bent = x + pen.lean * (v[:, 16] * y * y + v[:, 17] * x * y)
    wide, high = 1 + pen.lean * v[:, 18], 1 + pen.lean / 2 * v[:, 20]
    x = 0.85 * wide * bent + pen.lean * v[:, 19] * y
    y = high * y + pen.lean / 2 * v[:, 21] * bent
    middle = (pen.size - 1) / 2 + pen.shift * v[:, 22:24, 0]
    x = pen.height * x + (middle[:, 0] + away)[:, None]
    y = pen.height * y + middle[:, 1, None]
    ink = _splat(x, y, pen.size, pen.blur)
    least, most = pen.ink
    return np.minimum(ink * (least + (most - least) * u[:, 24])[:, None, None], np.float32(1))


def _splat(x: np.ndarray, y: np.ndarray, size: int, blur: int) -> np.ndarray:
    """Draws points with coordinates x and y, (n, points), into n images.

    A point adds its weight of 1 to the four nearest pixels. The images are then smoothed.

    Returns:
        (n, size, size).
    """
    edge = 4  # the margin takes points outside the image, too far away to be smoothed back in
    wide = size + 2 * edge
    x, y = (np.clip(z + edge, 0, wide - 1.001) for z in (x, y))
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, low = x - left, y - top
    start = (np.arange(len(x))[:, None] * wide + top) * wide + left
    total = np.zeros(len(x) * wide * wide)
    for step, share in (
        (0, (1 - low) * (1 - right)),
        (1, (1 - low) * right),
        (wide, low * (1 - right)),
        (wide + 1, low * right),
    ):
        total += np.bincount((start + step).ravel(), share.ravel(), minlength=len(total))
    ink = total.reshape(len(x), wide, wide).astype(np.float32)
    for _ in range(blur):
        ink[:, 1:-1] = (ink[:, :-2] + 2 * ink[:, 1:-1] + ink[:, 2:]) / 4
        ink[:, :, 1:-1] = (ink[:, :, :-2] + 2 * ink[:, :, 1:-1] + ink[:, :, 2:]) / 4
    return ink[:, edge:-edge, edge:-edge]


def _turned(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotates coordinates by an angle between −90° and 90°, with the half-angle formulas.

    Args:
        x: coordinates to the right.
        y: coordinates down.
        u: in [0, 1), decides the angle: 2u − 1 is the tangent of half the angle.

    Returns:
        The rotated x and the rotated y.
    """
    t = 2 * u - 1
    cos, sin = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    return cos * x + sin * y, cos * y - sin * x


def _odd(x: np.ndarray) -> np.ndarray:
    return np.floor(x).astype(np.int64) % 2 == 1


def _noise(name: str, part: str, sample: np.ndarray) -> np.ndarray:
    """Draws uniform noise in [−1, 1], (n, 3, 32, 32), with eight values per random word."""
    words = _words(name + " noise", part, sample, 3 * 32 * 32 // 8).astype("<u8")
    return words.view(np.uint8).reshape(-1, 3, 32, 32).astype(np.float32) / 127.5 - 1


def _draws(name: str, part: str, sample: np.ndarray, draws: int) -> np.ndarray:
    return uniform_floats(_words(name, part, sample, draws))


def _words(name: str, part: str, sample: np.ndarray, draws: int) -> np.ndarray:
    return random_words(zlib.crc32(f"{name}/{part}".encode()), sample, draws=draws)


def _line(strokes: str) -> np.ndarray:
    """Converts the stroke of a digit to evenly spaced points around its centre.

    Args:
        strokes: points as `x,y`, separated by spaces, on a square of side 100.

    Returns:
        (_POINTS, 2) as (x, y), in units of the square's side.
    """
    points = np.array([p.split(",") for p in strokes.split()], np.float64) / 100 - 0.5
    for _ in range(2):  # corner cutting (Chaikin 1974)
        inner = np.stack(
            [0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]], 1
        )
        points = np.concatenate([points[:1], inner.reshape(-1, 2), points[-1:]])
    pieces = points[1:] - points[:-1]
    length = np.sqrt(pieces[:, 0] ** 2 + pieces[:, 1] ** 2)
    along = np.concatenate([[0.0], length.cumsum()])
    even = np.arange(_POINTS) * (along[-1] / (_POINTS - 1))
    return np.stack([np.interp(even, along, points[:, axis]) for axis in (0, 1)], 1)


_LINES: np.ndarray = np.stack([_line(strokes) for strokes in _STROKES]).astype(np.float32)
_HATS: np.ndarray = np.maximum(
    0, 1 - abs(np.linspace(0, _KNOTS - 1, _POINTS) - np.arange(_KNOTS)[:, None])
).astype(np.float32)
"""(_KNOTS, _POINTS): the weight of each knot of a random displacement at each point of a stroke."""
