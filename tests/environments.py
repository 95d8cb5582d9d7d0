"""Makes environments like those of several machines: each has its own packages, checkout and
folder.

Nothing is installed: packages are links to those of this interpreter.
"""

from __future__ import annotations

import re
import shutil
import sys
import sysconfig
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("benchmarks", "models", "reports", "sweeps")
_SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


def checkout(place: Path) -> Path:
    """Copies the code of this checkout to a place, and makes its `.venv` with all packages.

    Returns:
        The place.
    """
    for room in ROOMS:
        shutil.copytree(
            ROOT / room, place / room, ignore=shutil.ignore_patterns("__pycache__", "*.md")
        )
    for name in ("capsbench.py", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, place / name)
    # As in an editable installation, a line in a file names the checkout.
    site = _environment(place / ".venv")
    (site / "capsbench.pth").write_text(f"{place}\n{sysconfig.get_path('purelib')}\n")
    _script(place / ".venv", "capsbench", "from capsbench import entry as main")
    _script(place / ".venv", "dask", "from dask.__main__ import main")
    return place


def dask_alone(place: Path) -> Path:
    """Makes a `.venv` that has only Dask and the packages that Dask needs.

    Returns:
        The place.
    """
    site = _environment(place / ".venv")
    for package in _needed("distributed", set()):
        for top in {path.parts[0] for path in package.files or () if path.parts[0] != ".."}:
            source = Path(str(package.locate_file(top)))
            if source.exists() and top != "__pycache__" and not (site / top).exists():
                (site / top).symlink_to(source)
    _script(place / ".venv", "dask", "from dask.__main__ import main")
    return place


def _environment(place: Path) -> Path:
    venv.create(place, symlinks=True, with_pip=False)
    return place / _SITE


def _script(environment: Path, name: str, imported: str) -> None:
    """Writes a command as pip does: spawned processes import the script without calling `main`."""
    path = environment / "bin" / name
    path.write_text(
        f"#!{environment}/bin/python\n{imported}\n\nif __name__ == '__main__':\n    main()\n"
    )
    path.chmod(0o755)


def _needed(name: str, seen: set[str]) -> list[Distribution]:
    """Lists a package and all packages that it needs, without those of extras."""
    if name in seen:
        return []
    seen.add(name)
    try:
        package = distribution(name)
    except PackageNotFoundError:  # of another Python or system
        return []
    wanted = [line for line in package.requires or () if "extra ==" not in line]
    names = [re.split(r"[^A-Za-z0-9_.-]", line, maxsplit=1)[0].lower() for line in wanted]
    return [package, *(found for other in names for found in _needed(other, seen))]
