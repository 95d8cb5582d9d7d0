"""Tests bouncing sprites against a loop over clips, frames, sprites and pixels."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.datasets.moving_sprites import MovingSprites, moving_sprites
from benchmarks.datasets.random_numbers import integers_below, random_words, uniform_floats
from benchmarks.datasets.task_data import Split

WORD = 1 << 64


def split(samples: int = 40, channels: int = 1, size: int = 28, seed: int = 0) -> Split:
    rng = np.random.default_rng(seed)
    shape = (samples, channels, size, size)
    return Split(rng.integers(0, 256, shape, np.uint8), np.arange(samples) % 10)


def build(*, channels: int = 1, distinct: bool = False) -> MovingSprites:
    size = 28 if channels == 1 else 32
    return moving_sprites(split(channels=channels, size=size), distinct=distinct, device="cpu")


def textbook_bits(*axes: int, draws: int) -> list[int]:
    def mix(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
        return z ^ (z >> 31)

    state = 0
    for axis in axes:
        state = mix((state + 0x9E3779B97F4A7C15 + axis) % WORD)
    return [mix((state + 0x9E3779B97F4A7C15 * n) % WORD) for n in range(1, draws + 1)]


def textbook_clip(
    made: MovingSprites, seed: int, epoch: int, index: int, frames: int
) -> np.ndarray:
    """Generates one clip (frames, C, 64, 64) by the steps of the protocol."""
    sprites = made.sprites.numpy()
    size = sprites.shape[-1]
    end = (64 - size) << 20
    order = np.argsort(made.labels.numpy(), kind="stable")
    picks = [(w >> 32) * len(order) >> 32 for w in textbook_bits(seed, epoch, index, 0, draws=2)]
    clip = np.zeros((frames, sprites.shape[1], 64, 64), np.uint8)
    for number in range(made.count):
        sprite = sprites[order[picks[number]]]
        first, second, third = textbook_bits(seed, epoch, index, 1 + number, draws=3)
        y, x = (first >> 32) * end >> 32, (second >> 32) * end >> 32
        angle = (third >> 33) * 2 * math.pi / 2**31
        down, right = round(0.1 * end * math.sin(angle)), round(0.1 * end * math.cos(angle))
        for frame in range(frames):
            y, x = y + down, x + right
            if y <= 0 or y >= end:
                y, down = min(max(y, 0), end), -down
            if x <= 0 or x >= end:
                x, right = min(max(x, 0), end), -right
            for row in range(size):
                for column in range(size):
                    at = clip[frame, :, (y >> 20) + row, (x >> 20) + column]
                    at[:] = np.maximum(at, sprite[:, row, column])
    return clip


@pytest.mark.parametrize("channels", [1, 3])
def test_clips_are_those_of_the_textbook_loop(channels: int) -> None:
    made, index = build(channels=channels), torch.tensor([0, 7, 12345])
    clips, labels = made.clips(seed=3, epoch=2, index=index, frames=20)
    assert (clips.shape, clips.dtype) == ((3, 20, channels, 64, 64), torch.uint8)
    assert (labels.shape, labels.dtype) == ((3, 2 if channels == 1 else 1), torch.int64)
    for row, number in enumerate(index.tolist()):
        np.testing.assert_array_equal(clips[row], textbook_clip(made, 3, 2, number, 20))


@given(
    st.lists(st.integers(0, 2**40), min_size=1, max_size=6),
    st.integers(0, 2**70),
    st.integers(0, 1000),
    st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_clip_depends_on_seed_epoch_and_index_alone(
    index: list[int], seed: int, epoch: int, distinct: bool
) -> None:
    made = build(distinct=distinct)
    clips, labels = made.clips(seed=seed, epoch=epoch, index=torch.tensor(index), frames=4)
    last, label = made.clips(seed=seed, epoch=epoch, index=torch.tensor(index[-1:]), frames=2)
    assert torch.equal(clips[-1:, :2], last)
    assert torch.equal(labels[-1:], label)


def test_seed_epoch_and_index_each_matter() -> None:
    made = build()

    def clip(seed: int, epoch: int, index: int) -> bytes:
        clips, _ = made.clips(seed=seed, epoch=epoch, index=torch.tensor([index]), frames=2)
        return clips.numpy().tobytes()

    axes = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1)]
    assert len({clip(*a) for a in axes}) == len(axes)


def test_sprites_stay_whole_on_the_canvas_at_the_protocols_speed() -> None:
    sprites = torch.full((1, 1, 28, 28), 255, dtype=torch.uint8)
    made = MovingSprites(sprites=sprites, labels=torch.zeros(1).long(), count=1, distinct=False)
    clips, _ = made.clips(seed=0, epoch=0, index=torch.arange(200), frames=20)
    assert (clips == 255).sum((2, 3, 4)).eq(28 * 28).all()
    corners = made._corners(0, 0, np.arange(200), 20)[:, 0]
    assert corners.min() == 0
    assert corners.max() == 36
    steps = np.array([np.hypot(*(b - a)) for path in corners for a, b in pairwise(path)])
    assert steps.max() < 3.6 + math.sqrt(2)
    assert 2.5 < steps.mean() < 3.6


def test_distinct_sprites_are_of_two_classes_and_evenly_drawn() -> None:
    made = build(distinct=True)
    _, labels = made.clips(seed=0, epoch=0, index=torch.arange(4000), frames=1)
    assert (labels[:, 0] != labels[:, 1]).all()
    pairs = np.bincount(labels[:, 0] * 10 + labels[:, 1], minlength=100).reshape(10, 10)
    assert pairs[~np.eye(10, dtype=bool)].min() > 15
    chosen = made._chosen(0, 0, np.arange(4000))
    np.testing.assert_array_equal(made.labels[chosen], labels)


def test_any_two_sprites_where_not_distinct() -> None:
    _, labels = build().clips(seed=0, epoch=0, index=torch.arange(1000), frames=1)
    assert 50 < (labels[:, 0] == labels[:, 1]).sum() < 150


def test_classes_that_are_absent_or_rare() -> None:
    data = Split(split(5).images, np.array([7, 2, 7, 7, 7]))
    made = moving_sprites(data, distinct=True, device="cpu")
    _, labels = made.clips(seed=0, epoch=0, index=torch.arange(100), frames=1)
    assert labels.sum(1).eq(9).all()


def test_small_digits_grow_to_28_and_train_differs_from_test() -> None:
    train, test = (
        moving_sprites(split(size=16, seed=s), distinct=False, device="cpu") for s in (0, 1)
    )
    assert train.sprites.shape == (40, 1, 28, 28)
    index = torch.arange(4)
    clips = [m.clips(seed=0, epoch=0, index=index, frames=2)[0] for m in (train, test)]
    assert not torch.equal(*clips)


def test_bilinear_growth_keeps_a_plain_image() -> None:
    data = Split(np.full((1, 1, 16, 16), 77, np.uint8), np.zeros(1, np.int64))
    assert moving_sprites(data, distinct=False, device="cpu").sprites.unique().tolist() == [77]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_clips_are_equal_on_the_gpu() -> None:
    index = torch.arange(16)
    here, there = (
        moving_sprites(split(), distinct=True, device=d).clips(
            seed=1, epoch=2, index=index, frames=20
        )
        for d in ("cpu", "cuda")
    )
    assert torch.equal(here[0], there[0].cpu())
    assert torch.equal(here[1], there[1].cpu())


def test_random_words_are_the_textbooks() -> None:
    words = random_words(5, np.array([0, 1, 2**63 - 1]), draws=4)
    expected = [textbook_bits(5, i, draws=4) for i in (0, 1, 2**63 - 1)]
    assert words.tolist() == expected
    # The first word of SplitMix64's reference implementation from state 0.
    assert int(random_words(draws=1)[0, 0]) == 0xE220A8397B1DCDAF


def test_random_numbers_are_uniform() -> None:
    words = random_words(0, np.arange(20_000), draws=1)[:, 0]
    assert np.bincount(integers_below(words, 10)).min() > 1_850
    numbers = uniform_floats(words)
    assert 0 <= numbers.min() < 0.001 < 0.999 < numbers.max() < 1
