"""Lists the metrics of each task, their directions, and where a metric has no meaning.

The first metric of a task is its primary metric, which studies optimise and leaderboards show.
`benchmarks/tasks/` computes the metrics.
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
"""Number of training samples whose codes the probes are fitted to after each epoch.

For a final's test the probes are fitted to the codes of all training samples.
"""
_SEGMENTATION: dict[str, Direction] = {"segmentation_accuracy": "maximize"}
_PREDICTION: dict[str, Direction] = {
    "mse": "minimize",
    "mae": "minimize",
    "ssim": "maximize",
    "psnr": "maximize",
}


def directions(task: str, dataset: str) -> dict[str, Direction]:
    """Lists the metrics of a task on a dataset.

    Args:
        task: `classification`, `autoencoding` or `prediction`.
        dataset: its name.

    Returns:
        By metric, the primary metric first: `maximize` or `minimize`.

    Raises:
        InputError: if no dataset has this name.
        KeyError: if the task is not run on the dataset.
    """
    form = datasets.find(dataset).forms[task]
    if form is Form.points:
        return dict(_SEGMENTATION)
    if task == "classification":
        return dict(_TWO_DIGITS if form is Form.two_digits else _CLASSIFICATION)
    return dict({"autoencoding": AUTOENCODING, "prediction": _PREDICTION}[task])


def absent(task: str, dataset: str) -> dict[str, str]:
    """Lists the metrics of a task that have no meaning on a dataset.

    Args:
        task: `classification`, `autoencoding` or `prediction`.
        dataset: its name.

    Returns:
        By metric, the reason in one phrase; empty if all metrics have a meaning.
    """
    if task != "autoencoding" or datasets.find(dataset).forms[task] is not Form.two_digits:
        return {}
    reason = "a frame shows two classes, and a cluster would be matched to one"
    return {"lin_match": reason, "lin_match_prior": reason}
