"""Brings the page's JavaScript libraries to the versions below: run it, then commit the files.

python reports/page/vendored/update.py

It needs npm. `npm pack` downloads a package and checks its integrity; no script of it is run.
`libraries.json` then has each file's version, licence and SHA-256, which a test compares.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = {
    "d3": ("7.9.0", "dist/d3.min.js"),
    "@observablehq/plot": ("0.6.17", "dist/plot.umd.min.js"),
}
"""By npm package its version and its file for browsers."""


def update() -> None:
    """Downloads each package, copies its file and licence, and writes `libraries.json`."""
    notes = {}
    for package, (version, member) in PACKAGES.items():
        with tempfile.TemporaryDirectory() as folder:
            pack = ["npm", "pack", "--silent", f"{package}@{version}"]
            done = subprocess.run(pack, cwd=folder, check=True, capture_output=True, text=True)
            with tarfile.open(Path(folder) / done.stdout.strip().splitlines()[-1]) as archive:
                content = _member(archive, member)
                licence = _member(archive, "LICENSE")
                described = json.loads(_member(archive, "package.json"))
        name = member.rpartition("/")[2]
        (HERE / name).write_bytes(content)
        (HERE / f"{name}.LICENSE").write_bytes(licence)
        notes[name] = {
            "package": package,
            "version": version,
            "licence": described["license"],
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    (HERE / "libraries.json").write_text(json.dumps(notes, indent=1) + "\n")


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"package/{name}")
    assert file is not None
    return file.read()


if __name__ == "__main__":
    update()
