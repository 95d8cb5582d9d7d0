"""Computes what a trained model answers to a user's samples, and writes the answers to files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import tasks
from benchmarks.datasets.samples import Batch
from benchmarks.records.atomic_files import replacing
from benchmarks.runs.input_files import Sample
from benchmarks.runs.picture_files import save_pictures
from benchmarks.runs.trained import TrainedModel
from benchmarks.tasks.pictures import draw_samples
from benchmarks.tasks.prediction import frame_metrics
from models.variant import Clips, Coded, Images, ImageShape, Points

TABLE = "predictions.csv"


class Answers(NamedTuple):
    """Holds the answers of a model to samples."""

    columns: tuple[str, ...]
    """The names of the columns of `rows`."""
    rows: list[tuple[Any, ...]]
    """One row per sample: its name, and what is known of the answer in numbers."""
    arrays: dict[str, np.ndarray]
    """By name, one array with one entry per sample: scores, codes, reconstructions, segments, or
    future frames."""


def answer(trained: TrainedModel, samples: Sequence[Sample]) -> Answers:
    """Computes the answers of a model, in batches as large as those of its evaluation.

    Args:
        trained: the model.
        samples: at least one sample.

    Returns:
        The answers. For classification the columns are the classes with the most score first, as
        many as an image has labels, and the scores of all classes. For autoencoding they are the
        errors of the reconstruction, if the model reconstructs. For prediction they are the metrics
        of the frames, if the true frames of all clips are known.
    """
    parts = [_outputs(trained.predict(x)) for x in _stacked(trained, [s.x for s in samples])]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    names = [sample.name for sample in samples]
    if trained.task == "classification":
        return _classified(trained, names, arrays)
    measured: dict[str, np.ndarray] = {}
    if trained.task == "prediction":
        future = [s.future for s in samples if s.future is not None]
        if len(future) == len(samples):
            measured = _frame_metrics(arrays["future"], torch.stack(future))
    elif "reconstruction" in arrays:
        error = arrays["reconstruction"] - arrays["target"]
        measured = {"mse": np.square(error).mean(axis=(1, 2, 3))}
    rows = [(name, *(float(v[i]) for v in measured.values())) for i, name in enumerate(names)]
    return Answers(("sample", *measured), rows, arrays)


def write_answers(
    answers: Answers, trained: TrainedModel, samples: Sequence[Sample], folder: Path
) -> list[Path]:
    """Writes answers into a folder: a table, arrays, pictures, and predicted clips as animations.

    Args:
        answers: the answers.
        trained: the model.
        samples: the samples that were answered.
        folder: the folder; it is made if it does not exist, and files of equal names are replaced.

    Returns:
        The written files; animations of the same names as pictures are not listed.

    Raises:
        OSError: if a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / TABLE, *(folder / f"{name}.npy" for name in answers.arrays)]
    with replacing(folder / TABLE) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(answers.columns)
        writer.writerows(answers.rows)
    for name, array in answers.arrays.items():
        np.save(folder / f"{name}.npy", array)
    class_ = tasks.task_class_of_shape(trained.task, trained.shape)
    title = f"{trained.spec.variant} trained on {trained.spec.dataset}"
    for start in range(0, len(samples), class_.shown):
        shown = samples[start : start + class_.shown]
        prefix = f"{start:05}-" if len(samples) > class_.shown else ""
        names = ", ".join(sample.name for sample in shown)
        with torch.inference_mode():
            pictures = draw_samples(
                trained.model,
                _batch(trained, shown),
                truth=trained.task != "prediction" or all(s.future is not None for s in shown),
            )
            drawn = save_pictures(folder, pictures, title=f"{title}\n{names}", prefix=prefix)
        written += drawn.values()
    return written


def _stacked(trained: TrainedModel, x: Sequence[Tensor]) -> Iterator[Tensor]:
    size = tasks.task_class_of_shape(trained.task, trained.shape).evaluation_batch
    for start in range(0, len(x), size):
        yield torch.stack(list(x[start : start + size]))


def _outputs(output: Tensor | Coded) -> dict[str, np.ndarray]:
    """Converts the output of a model for a batch to arrays by name."""
    if isinstance(output, Coded):
        found = {name: value for name, value in output._asdict().items() if value is not None}
        return {name: _array(value) for name, value in found.items()}
    return {"scores" if output.ndim == 2 else "future": _array(output)}


def _array(numbers: Tensor) -> np.ndarray:
    numbers = numbers.detach().cpu()
    return (numbers.float() if numbers.is_floating_point() else numbers).numpy()


def _classified(
    trained: TrainedModel, names: Sequence[str], arrays: dict[str, np.ndarray]
) -> Answers:
    assert isinstance(trained.shape, ImageShape)
    labels, scores = trained.shape.labels, arrays["scores"]
    best = np.argsort(-scores, axis=1, kind="stable")[:, :labels]
    chosen = ["class"] if labels == 1 else [f"class {i + 1}" for i in range(labels)]
    columns = (
        "sample",
        *chosen,
        *(f"score of {trained.class_name(i)}" for i in range(scores.shape[1])),
    )
    rows = [
        (name, *map(trained.class_name, top), *map(float, found))
        for name, top, found in zip(names, best, scores, strict=True)
    ]
    return Answers(columns, rows, arrays)


def _frame_metrics(predicted: np.ndarray, future: Tensor) -> dict[str, np.ndarray]:
    found: dict[str, list[float]] = {}
    for frames, truth in zip(torch.from_numpy(predicted), future.cpu(), strict=True):
        for name, value in frame_metrics(frames[None], truth[None]).items():
            found.setdefault(name, []).append(float(value))
    return {name: np.array(values) for name, values in found.items()}


def _batch(trained: TrainedModel, samples: Sequence[Sample]) -> Batch:
    """Makes the batch that the variant's pictures take; labels are not known, and 0."""
    x = torch.stack([sample.x for sample in samples])
    if trained.task == "prediction":
        truth = [sample.future for sample in samples]
        if any(frames is None for frames in truth):
            return Clips(x, x[:, :0])
        return Clips(x, torch.stack([frames for frames in truth if frames is not None]))
    if isinstance(trained.shape, ImageShape):
        return Images(x, torch.zeros(len(x), trained.shape.labels, dtype=torch.int64))
    return Points(x, torch.zeros(x.shape[:2], dtype=torch.int64))
