"""What each task measures, which way is better, and where a metric has no meaning.

The first metric of a task is its primary one, which studies optimise and leaderboards show. What
computes them is in `benchmarks/tasks/`.
"""

from __future__ import annotations

from benchmarks import datasets
from benchmarks.datasets.dataset import Form
from benchmarks.records.spec import Direction

_CLASSIFICATION: dict[str, Direction] = {"accuracy": "maximize", "balanced_accuracy": "maximize"}
_TWO_DIGITS: dict[str, Direction] = {"exact_match": "maximize", "digit_accuracy": "maximize"}
AUTOENCODING: dict[str, Direction] = {
    "lin_pred": "maximize",
    "lin_match": "maximize",
    "lin_pred_prior": "maximize",
    "lin_match_prior": "maximize",
    "mse": "minimize",
    "nll": "minimize",
}
PROBE_SAMPLES = 5_000
"""Training samples to whose codes probes are fitted after each epoch; a final's test uses all."""
_SEGMENTATION: dict[str, Direction] = {"segmentation_accuracy": "maximize"}
_PREDICTION: dict[str, Direction] = {
    "mse": "minimize",
    "mae": "minimize",
    "ssim": "maximize",
    "psnr": "maximize",
}


def directions(task: str, dataset: str) -> dict[str, Direction]:
    """Lists a task's metrics on a dataset, the primary one first, and which way each is better."""
    form = datasets.find(dataset).forms[task]
    if form is Form.points:
        return dict(_SEGMENTATION)
    if task == "classification":
        return dict(_TWO_DIGITS if form is Form.two_digits else _CLASSIFICATION)
    return dict({"autoencoding": AUTOENCODING, "prediction": _PREDICTION}[task])


def absent(task: str, dataset: str) -> dict[str, str]:
    """Lists the metrics of a task that have no meaning on a dataset, each with the reason."""
    if task != "autoencoding" or datasets.find(dataset).forms[task] is not Form.two_digits:
        return {}
    reason = "a frame shows two classes, and a cluster would be matched to one"
    return {"lin_match": reason, "lin_match_prior": reason}
