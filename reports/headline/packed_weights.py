"""Packs the weights of the headline runs for a release, since they are too large for Git.

    python -m reports.headline.packed_weights RESULTS weights.tar

RESULTS is the folder in which the runs were made. The archive has `RUN_ID.safetensors` for each
headline record, and `SHA256SUMS`, which `sha256sum` checks.
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

from benchmarks.records.atomic_files import replacing, sha256_of
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from reports.headline.rows import RECORDS, read_record


def pack_weights(results: Path, archive: Path, folder: Path = RECORDS) -> list[str]:
    """Writes the archive, completely or not at all.

    Args:
        results: the results folder of the headline runs.
        archive: the `.tar` file; its folder must exist.
        folder: has the headline records.

    Returns:
        The ids of the runs whose weights are in the archive: all whose model has weights.

    Raises:
        InputError: if weights are missing, or are not those of the record.
        OSError: if the archive cannot be written.
    """
    records = [read_record(path) for path in sorted(folder.glob("*.json"))]
    files, sums = [], []
    for record in records:
        # Records of older versions have the hash of the whole file in `weights_sha256`.
        expected = record.weights_file_sha256 or record.weights_sha256
        if expected is None:
            continue
        path = RunFolder(results, record.run_id).weights
        if not path.is_file() or sha256_of(path) != expected:
            raise InputError(
                f"{path} is missing or not that of the headline record: name the results folder "
                "in which the headline runs were made"
            )
        files.append((f"{record.run_id}.safetensors", path))
        sums.append(f"{expected}  {record.run_id}.safetensors\n")
    with replacing(archive) as temporary, tarfile.open(temporary, "w") as tar:
        listing = "".join(sums).encode()
        entry = tarfile.TarInfo("SHA256SUMS")
        entry.size = len(listing)
        tar.addfile(entry, io.BytesIO(listing))
        for name, path in files:
            entry = tarfile.TarInfo(name)
            entry.size = path.stat().st_size
            with path.open("rb") as content:
                tar.addfile(entry, content)
    return [name.removesuffix(".safetensors") for name, _ in files]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m reports.headline.packed_weights RESULTS ARCHIVE.tar")
    try:
        packed = pack_weights(Path(sys.argv[1]), Path(sys.argv[2]))
    except (InputError, OSError) as error:
        print(f"capsbench: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{sys.argv[2]}: weights of {len(packed)} runs")
