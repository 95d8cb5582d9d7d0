"""Tests every registered variant on every shape of its task's data.

Registering a variant is enough to have it tested. Its sizes are those of the smoke profile in its
space file, or its defaults if there is no such profile.
"""

from __future__ import annotations

import ast
import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor

from benchmarks import datasets
from benchmarks.runs.costs import count_parameters_and_flops
from benchmarks.tasks.picture_grid import grid
from models import registry
from models.variant import (
    Clips,
    ClipShape,
    Coded,
    Images,
    ImageShape,
    Points,
    PointShape,
    PredictionHyperparameters,
    Variant,
)
from tests.models.comparison import total_loss
from tests.narrowing import present

SPACES = Path(__file__).parents[2] / "sweeps" / "spaces"

STILL = {
    "mnist": ImageShape(1, 28, 28, 10),
    "usps": ImageShape(1, 16, 16, 10),
    "colour": ImageShape(3, 32, 32, 10),
    "frames": ImageShape(1, 64, 64, 10, labels=2),
}
MOVING = {
    "grey": ClipShape(1, 64, 64, past=3, future=2),
    "colour": ClipShape(3, 64, 64, past=2, future=3),
}
SHAPES: dict[str, dict[str, Any]] = {
    "classification": STILL,
    "autoencoding": STILL,
    "prediction": MOVING,
}
BESIDE = {"constellations": PointShape(points=11, patterns=3)}
CELLS = [
    pytest.param(name, shape, id=f"{name}-{label}")
    for name, entry in registry.available().items()
    for label, shape in (
        *SHAPES[entry.task].items(),
        *((dataset, BESIDE[dataset]) for dataset in registry.variant(name).extra_datasets),
    )
]
EVERY_CELL = pytest.mark.parametrize(("name", "shape"), CELLS)
EVERY_VARIANT = pytest.mark.parametrize("name", list(registry.available()))


PRESETS = [
    pytest.param(name, dataset, id=f"{name}-{dataset}")
    for name in registry.available()
    for dataset in registry.variant(name).presets
]


def build(name: str, shape: Any, dataset: str = "") -> Variant:
    """Builds a small variant from fixed seeds, on an untrained base if it is built on one."""
    torch.manual_seed(0)
    base_variant, base = registry.variant(name).base_variant, None
    if base_variant is not None:
        base = build(base_variant, shape, dataset).requires_grad_(False).eval()
    return registry.build(name, shape=shape, config=smoke(name, dataset), base=base)


def smoke(name: str, dataset: str = "") -> Any:
    """Returns the hyper-parameters of the smoke profile, or the defaults if the space file has
    none.

    Those that a dataset presets replace them.
    """
    path = SPACES / f"{name}.yaml"
    space = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    space = space or {}
    settings = ((space.get("profiles") or {}).get("smoke") or {}).get("set") or {}
    variant = registry.variant(name)
    preset = variant.presets.get(dataset, {})
    return variant.Config(**{**(space.get("fixed") or {}), **settings, **preset})


def parts(output: Any) -> list[Tensor]:
    """Lists the tensors in the output of a forward pass."""
    return [t for t in output if t is not None] if isinstance(output, Coded) else [output]


def made(shape: Any, count: int = 2, fill: str = "random") -> Images | Clips | Points:
    """Makes a batch of noise in [0, 1], of a single value, or of images with a white half.

    Blank points are absent points.
    """
    generator = torch.Generator().manual_seed(1)

    def pixels(*size: int) -> Tensor:
        if fill == "random":
            return torch.rand(*size, generator=generator)
        if fill == "halves":
            image = torch.zeros(size)
            image[::2, ..., : size[-1] // 2] = 1
            image[1::2, ..., size[-2] // 2 :, :] = 1
            return image
        return torch.full(size, {"blank": 0.0, "saturated": 1.0}[fill])

    if isinstance(shape, PointShape):
        patterns = torch.randint(shape.patterns, (count, shape.points), generator=generator)
        x = pixels(count, shape.points, 3)
        x[..., 2] = x[..., 2].round()
        return Points(x, patterns)
    frame = (shape.channels, shape.height, shape.width)
    if isinstance(shape, ClipShape):
        return Clips(pixels(count, shape.past, *frame), pixels(count, shape.future, *frame))
    x = pixels(count, *frame)
    labels = [torch.randperm(shape.classes, generator=generator) for _ in range(count)]
    return Images(x, torch.stack(labels)[:, : shape.labels])


def step(model: Variant, batch: Images | Clips | Points) -> Tensor:
    """Computes the loss and, for a trainable variant, its gradients, with a fixed random seed."""
    torch.manual_seed(2)
    model.zero_grad()
    loss = total_loss(model, batch)
    if model.trainable:
        loss.backward()
    return loss.detach()


def assert_finite(model: Variant, batch: Images | Clips | Points) -> None:
    assert step(model, batch).isfinite()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} has no gradient"
            assert parameter.grad.isfinite().all(), f"{name} has a gradient that is not finite"


@EVERY_CELL
def test_shapes_and_terms(name: str, shape: Any) -> None:
    model, batch = build(name, shape), made(shape)
    terms, prediction = model.loss(batch)
    assert terms
    assert all(term.shape == () for term in terms.values())
    model.eval()
    with torch.no_grad():
        output = model(batch[0])
    if isinstance(output, Coded):
        assert_coded(output, model)
        for trained, evaluated in zip(prediction, output, strict=True):
            assert trained is None or trained.shape == present(evaluated).shape
    elif isinstance(batch, Images):
        assert output.shape == prediction.shape == (2, shape.classes)
    else:
        assert isinstance(batch, Clips)
        assert output.shape == prediction.shape == batch.future.shape


def assert_coded(coded: Coded, model: Variant) -> None:
    assert coded.code.shape[0] == 2
    assert coded.code.ndim == 2
    assert coded.prior is None or coded.prior.shape == coded.code.shape
    assert (
        (coded.target is None)
        == (coded.reconstruction is None)
        == ("mse" in model.undefined_metrics)
    )
    if coded.target is not None and coded.reconstruction is not None:
        assert coded.target.shape == coded.reconstruction.shape
        assert isinstance(model.shape, ImageShape)
        assert coded.target.shape[:2] == (2, model.shape.channels)
    assert (coded.log_likelihood is None) == ("nll" in model.undefined_metrics)
    assert coded.log_likelihood is None or coded.log_likelihood.shape == (2,)
    assert (coded.prior is None) == ("lin_pred_prior" in model.undefined_metrics)


@EVERY_CELL
def test_in_evaluation_the_loss_is_of_the_forward_pass(name: str, shape: Any) -> None:
    model, batch = build(name, shape).eval(), made(shape)
    with torch.no_grad():
        _, prediction = model.loss(batch)
        output = model(batch[0])
    for one, two in zip(parts(prediction), parts(output), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize(
    ("name", "shape"),
    [cell for cell in CELLS if registry.available()[str(cell.values[0])].task == "autoencoding"],
)
def test_codes_are_those_of_the_forward_pass(name: str, shape: Any) -> None:
    """Probes are fitted to `encode` and score `forward`, in batches of other sizes."""
    model, batch = build(name, shape).eval(), made(shape, count=6)
    with torch.inference_mode():
        coded, encoded, few = model(batch[0]), model.encode(batch[0]), model.encode(batch[0][:2])
    assert torch.equal(encoded.code, coded.code)
    assert (encoded.prior is None) == (coded.prior is None)
    if encoded.prior is not None:
        assert torch.equal(encoded.prior, coded.prior)
    torch.testing.assert_close(few.code, coded.code[:2])


@EVERY_CELL
def test_pictures_are_rows_of_images(name: str, shape: Any) -> None:
    """The images of a picture have one size, are finite, and need no gradient."""
    model = build(name, shape).eval()
    with torch.inference_mode():
        for title, rows in model.pictures(made(shape, count=3)).items():
            assert title
            drawn = grid(rows)
            assert drawn.dtype == np.uint8
            assert drawn.ndim in (2, 3)


@EVERY_VARIANT
def test_prediction_variants_say_which_frames(name: str) -> None:
    cls = registry.variant(name)
    asked = registry.available()[name].task == "prediction"
    assert issubclass(cls.Config, PredictionHyperparameters) == asked


def shape_on(name: str, dataset: str) -> Any:
    """Returns the shape of a dataset's samples, with few frames where the variant predicts them."""
    shape: Any = datasets.find(dataset).shape_of(registry.available()[name].task)
    if isinstance(shape, ClipShape):
        return MOVING["grey" if shape.channels == 1 else "colour"]
    return shape


@pytest.mark.parametrize(("name", "dataset"), PRESETS)
def test_each_preset_trains_on_its_dataset(name: str, dataset: str) -> None:
    assert dataset in datasets.names()
    registry.variant(name).Config(**registry.variant(name).presets[dataset])  # without smoke's
    shape = shape_on(name, dataset)
    model = build(name, shape, dataset)
    for fill in ("random", "blank", "saturated"):
        assert_finite(model, made(shape, fill=fill))
    model.eval()
    with torch.inference_mode():
        output = model(made(shape)[0])
        assert all(grid(rows).dtype == np.uint8 for rows in model.pictures(made(shape)).values())
    if isinstance(output, Coded):
        assert_coded(output, model)


@pytest.mark.parametrize(("name", "dataset"), PRESETS)
def test_costs_are_counted_in_deterministic_mode(name: str, dataset: str) -> None:
    """As runs do, on the meta device: what raises an error there leaves the costs unknown."""
    shape = shape_on(name, dataset)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        counted = count_parameters_and_flops(lambda: build(name, shape, dataset), shape)
    finally:
        torch.use_deterministic_algorithms(before)
    assert counted["parameters"] >= 0


@EVERY_CELL
@pytest.mark.parametrize("fill", ["random", "blank", "saturated"])
def test_loss_and_gradients_are_finite(name: str, shape: Any, fill: str) -> None:
    assert_finite(build(name, shape), made(shape, fill=fill))


@EVERY_CELL
def test_bfloat16_autocast_is_finite(name: str, shape: Any) -> None:
    model, batch = build(name, shape), made(shape)
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16):
        loss = total_loss(model, batch)
        output = model(batch[0])
    assert loss.isfinite()
    assert all(part.isfinite().all() for part in parts(output))
    if model.trainable:
        assert loss.dtype == torch.float32
        loss.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@EVERY_CELL
def test_equal_seeds_give_equal_bits(name: str, shape: Any) -> None:
    batch = made(shape)
    first, second = build(name, shape), build(name, shape)
    assert torch.equal(step(first, batch), step(second, batch))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.grad is b.grad is None or torch.equal(present(a.grad), present(b.grad))


@EVERY_CELL
def test_weights_survive_safetensors(name: str, shape: Any, tmp_path: Path) -> None:
    model = build(name, shape)
    step(model, made(shape))
    model.fit((255 * made(shape)[0]).to(torch.uint8))
    other = copy.deepcopy(model)
    for number in (*other.parameters(), *other.buffers()):
        number.data.zero_()
    safetensors.torch.save_file(model.state_dict(), tmp_path / "weights.safetensors")
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "weights.safetensors"))
    model.eval()
    other.eval()
    x = made(shape)[0]
    for one, two in zip(parts(model(x)), parts(other(x)), strict=True):
        assert torch.equal(one, two)


@EVERY_CELL
def test_evaluation_draws_nothing_and_keeps_its_input(name: str, shape: Any) -> None:
    model, batch = build(name, shape).eval(), made(shape)
    x, state = batch[0].clone(), torch.get_rng_state()
    with torch.no_grad():
        first, second = model(batch[0]), model(batch[0])
        model.loss(batch)
    for one, two in zip(parts(first), parts(second), strict=True):
        assert torch.equal(one, two)
    assert torch.equal(batch[0], x)
    assert torch.equal(torch.get_rng_state(), state)


def knows(model: Variant, batch: Images | Clips | Points) -> bool:
    """Returns whether evaluation gives all labels right, or the squared error of pixels is below a
    tenth of their variance.

    A variant that draws no pixels, or whose frozen base draws them, passes.
    """
    with torch.no_grad():
        output = model.eval()(batch[0])
    model.train()
    if isinstance(output, Coded):
        found, target = output.reconstruction, output.target
    elif isinstance(batch, Clips):
        found, target = output, batch.future
    else:
        assert isinstance(batch, Images)
        top = output.topk(batch.y.shape[1], 1).indices
        return bool(torch.equal(top.sort(1).values, batch.y.sort(1).values))
    if found is None or model.base_variant is not None:
        return True
    assert target is not None
    return bool((found - target).square().mean() < 0.1 * target.var())


def overfits(name: str, rate: float) -> bool:
    """Returns whether 300 steps at a learning rate reduce the loss to a tenth, and then `knows`
    holds.
    """
    shape = next(iter(SHAPES[registry.available()[name].task].values()))
    model, batch = build(name, shape), made(shape, fill="halves")
    if not model.trainable:
        return True
    recipe = model.optimization()
    for group in recipe.optimizer.param_groups:
        group["lr"] = rate
    first = step(model, batch)
    assert first > 0, "a tenth of it is no success: give the test's batch another loss"
    for _ in range(300):
        recipe.optimizer.step()
        if step(model, batch) < 0.1 * first and knows(model, batch):
            return True
    return False


@EVERY_VARIANT
def test_a_tiny_batch_is_overfitted(name: str) -> None:
    """Three rates are tried: with momentum, a step of RMSProp is ten times as long as its rate."""
    assert any(overfits(name, rate) for rate in (3e-3, 1e-2, 1.5e-3))


@EVERY_VARIANT
def test_unknown_and_unbounded_hyperparameters_are_refused(name: str) -> None:
    config = registry.variant(name).Config
    for bad in ({"no_such_name": 1}, {"batch_size": 0}):
        with pytest.raises(ValidationError):
            config(**bad)


@EVERY_VARIANT
def test_hyperparameters_are_documented(name: str) -> None:
    for field, info in registry.variant(name).Config.model_fields.items():
        assert info.description, f"{field} has no description"
        assert not info.is_required(), f"{field} has no default"
        if info.annotation in (int, float):
            assert info.metadata, f"{field} has no bounds"


@EVERY_VARIANT
def test_the_docstring_opens_with_a_sentence(name: str) -> None:
    assert registry.available()[name].summary.endswith(".")


def test_each_textbook_version_is_named_by_what_it_explains() -> None:
    """A reader of a fast version finds the plain one."""
    root = Path(registry.__file__).parents[1]
    fast = [path for path in root.glob("models/**/*.py") if "textbook" not in path.parts]
    documented = "".join(ast.get_docstring(ast.parse(path.read_text())) or "" for path in fast)
    for path in root.glob("models/textbook/[a-z]*.py"):
        assert path.relative_to(root).as_posix() in documented
