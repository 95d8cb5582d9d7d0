"""Tests the Temporal Latent Bottleneck and its schedules, against textbook and known mistakes."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from models import tlb, tlb_keras
from models.layers.prenorm import Attention
from models.textbook import tlb as oracle_tlb
from models.textbook import tlb_frames as oracle_frames
from models.textbook import tlb_keras as oracle_keras
from models.tlb import TLB, Block, TLBConfig
from models.tlb_frames import TLBFrames, TLBFramesConfig
from models.tlb_keras import KerasTLB
from models.variant import Clips, ClipShape, Heat, Images, ImageShape, Variant
from tests.models.comparison import equal_losses
from tests.narrowing import present

CIFAR = ImageShape(3, 32, 32, 10)
SMALL: dict[str, Any] = {"image_size": 12, "resize": 14, "chunk_size": 3, "dim": 8}


def paper(shape: ImageShape = CIFAR, **changes: Any) -> TLB:
    return TLB(shape=shape, config=TLBConfig(**{**SMALL, **changes}))


def keras(shape: ImageShape = CIFAR, **changes: Any) -> KerasTLB:
    return KerasTLB(shape=shape, config=KerasTLB.Config(**{**SMALL, **changes}))


def frames(**changes: Any) -> TLBFrames:
    small = {"patch_size": 4, "dim": 8, "layers": 2, "state_length": 3}
    shape = ClipShape(2, 8, 12, past=3, future=3)
    return TLBFrames(shape=shape, config=TLBFramesConfig(**{**small, **changes}))


def images(shape: ImageShape = CIFAR, count: int = 3, dtype: torch.dtype = torch.float32) -> Images:
    x = torch.rand(count, shape.channels, shape.height, shape.width, dtype=dtype)
    y = torch.stack([torch.randperm(shape.classes)[: shape.labels] for _ in range(count)])
    return Images(x, y)


def randomised(model: Variant) -> Any:
    """Returns the model in float64, with all parameters random."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.double()


def assert_equal_to(oracle: Any, model: Variant, batch: Images | Clips) -> None:
    """Checks that loss and gradients of every parameter, by name, equal the textbook's."""
    ours, theirs = equal_losses(model, oracle, batch)
    ours.backward()
    theirs.backward()
    for (name, mine), written in zip(
        model.named_parameters(), oracle.ours.parameters(), strict=True
    ):
        torch.testing.assert_close(mine.grad, written.grad, msg=partial("{}: {}".format, name))


@pytest.mark.parametrize(
    "changes", [{}, {"heads": 2}, {"layers": 3, "r": 1}, {"grey": True, "standardise": True}]
)
@pytest.mark.parametrize("build", [paper, keras])
def test_loss_and_gradients_equal_the_textbook(build: Any, changes: dict[str, Any]) -> None:
    shape = ImageShape(3, 13, 17, 6, labels=2)
    model = randomised(build(shape, **changes, dropout=0.0))
    textbook = oracle_keras if build is keras else oracle_tlb
    oracle = textbook.textbook(model)
    assert_equal_to(oracle, model, images(shape, dtype=torch.float64))


def test_positions_in_the_image_equal_the_textbook() -> None:
    model = randomised(paper(positions="image", dropout=0.0))
    assert_equal_to(oracle_tlb.textbook(model), model, images(dtype=torch.float64))


@pytest.mark.parametrize("heads", [1, 2])
def test_frames_loss_and_gradients_equal_the_textbook(heads: int) -> None:
    model = randomised(frames(heads=heads))
    oracle = oracle_frames.textbook(model)
    past, future = (torch.rand(2, 3, 2, 8, 12, dtype=torch.float64) for _ in range(2))
    torch.testing.assert_close(model(past), oracle(past))
    assert_equal_to(oracle, model, Clips(past, future))


@pytest.mark.parametrize("heads", [1, 3])
def test_folded_attention_is_scaled_dot_product_attention(heads: int) -> None:
    layer = Attention(6, heads=heads, head_dim=4, dropout=0.0)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    layer.double()
    x, y = torch.randn(2, 5, 6, dtype=torch.float64), torch.randn(2, 7, 6, dtype=torch.float64)
    q, k, v = (
        projection(norm(z)).unflatten(2, (heads, 4)).transpose(1, 2)
        for projection, norm, z in (
            (layer.query, layer.query_norm, x),
            (layer.key, layer.key_norm, y),
            (layer.value, layer.value_norm, y),
        )
    )
    read = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    expected = x + layer.output(read.transpose(1, 2).flatten(2))
    ours, scores = layer.fold().cross_attention(x, y)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(scores, (q @ k.transpose(2, 3) / 2).softmax(-1))
    torch.testing.assert_close(
        layer.fold().self_attention(x), layer.fold().cross_attention(x, x)[0]
    )


def test_parameter_counts() -> None:
    """Checks that the example has 415,882 parameters, as Keras reports.

    It would have 364,810 if a block used the same weights for its chunk and for the state (a known
    mistake).
    """
    with torch.device("meta"):
        assert count(KerasTLB(shape=CIFAR, config=KerasTLB.Config())) == 415_882
        assert count(TLB(shape=CIFAR, config=TLBConfig())) == 356_746


def count(model: Variant) -> int:
    return sum(p.numel() for p in model.parameters())


PAPER = {
    (1, 1): "S C",
    (4, 2): "S S C S S C",
    (4, 1): "S C S C S C S C",
    (5, 2): "S S C S S C S",
    (3, 4): "S S S",
}
KERAS = {
    (1, 1): "SC SC",
    (4, 2): "SC S SC S SC S",
    (4, 1): "SC SC SC SC SC SC SC SC",
    (5, 2): "SC S SC S SC S SC S",
    (3, 4): "SC S S S",
}


@pytest.mark.parametrize(("sizes", "expected"), PAPER.items())
def test_the_papers_blocks_by_a_written_out_trace(sizes: tuple[int, int], expected: str) -> None:
    """Checks the blocks: S attends to its chunk, C to the state."""
    assert trace(paper(layers=sizes[0], r=sizes[1])) == expected


@pytest.mark.parametrize(("sizes", "expected"), KERAS.items())
def test_the_examples_blocks_by_a_written_out_trace(sizes: tuple[int, int], expected: str) -> None:
    """Checks layers + ⌈layers/r⌉ blocks: each attends to its chunk, every r-th to the state too.

    Guards against attending to the state in the added blocks instead (1 and 4 of 6).
    """
    assert trace(keras(layers=sizes[0], r=sizes[1])) == expected


def fast_blocks(model: TLB | KerasTLB) -> list[Block]:
    return [block for block in model.bottleneck.fast if isinstance(block, Block)]


def trace(model: TLB | KerasTLB) -> str:
    """Lists what each block does to a chunk, in the order of calls."""
    folded = model.bottleneck.fold()
    named = {}
    for index, block in enumerate(fast_blocks(model)):
        for layer in block.fold():
            named[layer.feed_forward.inner.weight.sum().item(), layer.to_state] = index
    blocks: list[str] = [""] * len(model.bottleneck.fast)
    order = []
    for layer in folded.local + folded.conditioned:
        index = named[layer.feed_forward.inner.weight.sum().item(), layer.to_state]
        blocks[index] += "C" if layer.to_state else "S"
        order.append(index)
    assert order == sorted(order)
    assert not any(layer.to_state for layer in folded.local)
    return " ".join(blocks)


def test_a_block_of_two_attentions_has_one_feed_forward_and_two_sets_of_weights() -> None:
    first, second = fast_blocks(keras())[:2]
    assert present(first.to_itself).query is not present(first.to_state).query
    assert second.to_state is None
    one, two = first.fold()
    assert one.feed_forward is two.feed_forward


def test_the_examples_head_reads_the_last_chunk_and_ours_the_state() -> None:
    """Checks what the class depends on if no block attends to the state.

    In the example it then depends on the last chunk only.
    """
    image = torch.rand(2, 3, 12, 12)
    other = image.clone()
    other[:, :, :8] = torch.rand(2, 3, 8, 12)
    model = keras().eval()
    read = model.read(image)
    torch.testing.assert_close(model.scores(image), model.head(read.fast.mean(1)))
    for block in fast_blocks(model):
        if block.to_state is not None:
            torch.nn.init.zeros_(block.to_state.output.weight)
    torch.testing.assert_close(model.scores(image), model.scores(other))
    ours = paper().eval()
    expected = ours.head(ours.state_norm(ours.read(image).state).mean(1))
    torch.testing.assert_close(ours.scores(image), expected)
    assert not torch.allclose(ours.scores(image), ours.scores(other))


def test_the_examples_state_is_zero_at_first_and_as_long_as_a_chunk() -> None:
    assert torch.equal(keras().initial_state(2), torch.zeros(2, 3, 8))
    assert paper(state_length=5).read(torch.rand(2, 3, 12, 12)).state.shape == (2, 5, 8)


def test_positions_are_those_in_a_chunk_or_those_in_the_image() -> None:
    assert paper().positions.shape == (1, 3, 8)
    assert paper(positions="image").positions.shape == (3, 3, 8)
    assert keras().positions.shape == (3, 3, 8)


def test_weights_begin_as_keras_has_them() -> None:
    """Checks that a (64, 1, 64) kernel has the bound of a convolution.

    The bound is √(6/(64 + 4096)), not √(6/128).
    """
    model = KerasTLB(shape=CIFAR, config=KerasTLB.Config())
    layer = present(fast_blocks(model)[0].to_itself)
    bounds = {
        layer.query: 6 / 4160,
        layer.value: 6 / 4160,
        layer.output: 6 / 128,
        model.tokens.projection: 6 / (48 + 1024),
        model.head: 6 / 74,
    }
    for linear, squared in bounds.items():
        assert linear.weight.abs().max().item() == pytest.approx(squared**0.5, rel=0.02)
        assert not linear.bias.any()


def test_attention_maps_are_laid_out_as_the_patches() -> None:
    """Checks that a token's heat is at the place of its patch.

    Heat is the largest weight over queries, averaged over heads.
    """
    model = keras(heads=2).eval()
    batch = images(count=2)
    pictures = model.pictures(batch)["attention"]
    assert [len(row) for row in pictures] == [2, 2]
    heats = [heat for heat in pictures[1] if isinstance(heat, Heat)]
    assert torch.equal(heats[1].image, model.evaluation_view(batch.x)[1])
    scores = model.read(model.evaluation_view(batch.x)).scores
    assert scores[0].shape == (2, 2, 3, 3)
    for token in range(9):
        own = scores[token // 3][1, :, :, token % 3]
        expected = torch.stack([head.max() for head in own]).mean()
        torch.testing.assert_close(heats[1].heat[token // 3, token % 3], expected)


def test_dropout_is_on_scores_and_behind_the_feed_forward(monkeypatch: Any) -> None:
    seen: list[torch.Size] = []

    def note(x: Tensor, p: float) -> Tensor:
        if p > 0:
            assert p == 0.25
            seen.append(x.shape)
        return x

    monkeypatch.setattr("models.layers.prenorm.dropout", note)
    model = paper(dropout=0.25, layers=1, r=1, state_length=5)
    model.read(torch.rand(2, 3, 12, 12))
    assert seen[:2] == [(6, 3, 3), (6, 3, 8)]  # all chunks at once
    assert seen[2:6] == [(2, 3, 5), (2, 3, 8), (2, 5, 3), (2, 5, 8)]
    seen.clear()
    model.eval().read(torch.rand(2, 3, 12, 12))
    assert not seen


def test_what_does_not_see_the_state_is_computed_for_all_chunks_at_once() -> None:
    model = paper(layers=2, r=2, dropout=0.0)
    folded = model.bottleneck.fold()
    assert [len(folded.local), len(folded.conditioned)] == [2, 1]
    chunks = torch.randn(2, 3, 3, 8)
    one_by_one = torch.stack(
        [folded.apply_local_layers(c[:, None])[:, 0] for c in chunks.unbind(1)], 1
    )
    torch.testing.assert_close(folded.apply_local_layers(chunks), one_by_one)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 14}, "14×14.*4×4"),
        ({"resize": 11}, "12×12.*11×11"),
        ({"chunk_size": 4}, "3×3 patches.*chunks of 4"),
        ({"heads": 3}, "3 heads.*8"),
    ],
)
def test_sizes_that_do_not_fit_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paper(**changes)


def test_frames_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"8×12.*5×5"):
        frames(patch_size=5)


def test_the_future_is_fed_by_predictions_and_the_past_by_frames() -> None:
    """Guards against teacher forcing over the future, which is not available in evaluation."""
    model = frames()
    past, future = torch.rand(1, 3, 2, 8, 12), torch.rand(1, 3, 2, 8, 12)
    other = torch.rand_like(future)
    for seen in (model, model.eval()):
        assert torch.equal(seen.loss(Clips(past, future))[1], seen.loss(Clips(past, other))[1])
    everything = model.frames(past)
    assert everything.shape == (1, 5, 2, 8, 12)
    changed = past.clone()
    changed[:, 2] = 0
    torch.testing.assert_close(model.frames(changed)[:, :2], everything[:, :2])
    assert not torch.allclose(model.frames(changed)[:, 2:], everything[:, 2:])


def test_the_frames_rate_rises_and_falls() -> None:
    optimizer, scheduler, *_ = frames(lr=0.5, warmup_steps=1, restart_steps=4).optimization()
    assert scheduler is not None
    rates = []
    for _ in range(3):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.25, 0.4268, 0.25], abs=1e-4)


def test_the_state_is_carried_from_frame_to_frame() -> None:
    model = frames()
    past = torch.rand(1, 3, 2, 8, 12)
    changed = past.clone()
    changed[:, 0] = 0
    assert not torch.allclose(model(changed), model(past))


def test_the_schedules_are_functions_of_layers_and_r() -> None:
    assert len(tlb_keras.keras_schedule(4, 2)) == len(tlb.paper_schedule(4, 2)) == 6
