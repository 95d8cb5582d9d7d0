"""Defines the scores of a trained model on the test data of another dataset."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from benchmarks.records.atomic_files import write_json
from benchmarks.records.errors import InputError, first_fault
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import DataInfo, Provenance, SampleCounts
from benchmarks.records.spec import Direction, Frozen, RunId

FOLDER = "other-data"


class OtherScores(Frozen):
    """Holds the scores of a run on other data than the run was trained on.

    Each is a file of its own in the run's folder, apart from the record, so that no table mistakes
    it for the result of the run.
    """

    run_id: RunId
    trained_on: str = Field(description="name of the dataset of the run")
    tested_on: str = Field(description="name of the dataset of the scores")
    data: DataInfo = Field(description="the data of the scores")
    samples: SampleCounts = Field(description="of the run, with the scored test samples")
    metric: str = Field(description="name of the primary metric")
    directions: dict[str, Direction] = Field(description="by metric, which way is better")
    metrics: dict[str, float] = Field(description="by name, such as `test/accuracy`")
    weights_sha256: str | None = Field(description="checksum of the scored weights")
    provenance: Provenance = Field(description="code, libraries and machine of the scores")

    @property
    def label(self) -> str:
        """Returns what these scores are, in words."""
        return f"trained on {self.trained_on}, scored on {self.tested_on}"


def scores_path(folder: RunFolder, dataset: str, data_sha256: str) -> Path:
    """Returns the path of the scores of a run on other data.

    Args:
        folder: the folder of the run.
        dataset: the name of the other dataset.
        data_sha256: the fingerprint of its data.
    """
    return folder.path / FOLDER / f"{dataset}-{data_sha256[:16]}.json"


def read_scores(path: Path) -> OtherScores | None:
    """Reads scores on other data.

    Args:
        path: the file.

    Returns:
        The scores; None if the file does not exist.

    Raises:
        InputError: if the file does not hold scores of this version.
    """
    try:
        return OtherScores.model_validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InputError(
            f"{path} does not hold scores of this version ({first_fault(error)}): remove the file "
            "to score the run again"
        ) from None


def write_scores(scores: OtherScores, path: Path) -> None:
    """Writes scores on other data atomically.

    Args:
        scores: the scores.
        path: the file, as `scores_path` names it.

    Raises:
        OSError: if the file cannot be written.
    """
    path.parent.mkdir(exist_ok=True)
    write_json(path, scores.model_dump(mode="json"))
