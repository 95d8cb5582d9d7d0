"""Tests what a new machine needs: locks, pins, scripts."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*==[^ ;\\]+)( ; [^\\]+?)? *\\?$", re.MULTILINE)


def pins(lock: str) -> set[str]:
    text = (ROOT / lock).read_text()
    return {pin + (marker or "") for pin, marker in PIN.findall(text)}


def versions(lock: str) -> set[str]:
    return {pin.partition(" ; ")[0] for pin in pins(lock)}


def declared() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = {
        "run": project["project"]["dependencies"],
        "test": project["dependency-groups"]["test"],
    }
    # A lock names what an extra brings in lines of their own.
    return {name: [re.sub(r"\[.*?\]", "", pin) for pin in pins] for name, pins in groups.items()}


def test_conda_users_get_the_pins_of_the_lock() -> None:
    environment = yaml.safe_load((ROOT / "environment.yaml").read_text())
    (by_pip,) = (d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    torch = (ROOT / "requirements-torch.txt").read_text().strip()
    assert set(by_pip) == pins("requirements.lock") | {torch}


def test_the_lock_holds_what_pyproject_pins() -> None:
    torch = (ROOT / "requirements-torch.txt").read_text().strip()
    run = {d.lower() for d in declared()["run"]} - {torch}
    assert torch in declared()["run"]
    assert run <= pins("requirements.lock")
    assert {d.lower() for d in declared()["test"]} <= pins("requirements-test.lock")
    # What the test lock needs on every Python, the other lock may need on some alone.
    assert versions("requirements.lock") <= versions("requirements-test.lock")


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-test.lock"])
def test_each_pin_has_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert len(blocks) == len(pins(lock))
    for block in blocks:
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert not re.search(r"https?://|file:|--index|--find-links|--extra", text)
    assert not re.search(r"^(torch|triton|nvidia|cuda)[-=]", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("room", "arguments"),
    [
        *((room, ("--help",)) for room in ("sweeps", "benchmarks", "reports")),
        ("sweeps", ("run", "--help")),
        ("benchmarks", ("run", "--help")),
        ("reports", ("build", "--help")),
        ("sweeps", ("list",)),
    ],
)
def test_help_and_list_answer_without_slow_imports(room: str, arguments: tuple[str, ...]) -> None:
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", room, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip()
    imported = {line.rsplit("|")[-1].strip() for line in shown.stderr.splitlines()}
    slow = {"torch", "optuna", "pytorch_lightning", "wandb", "pandas", "scipy", "sklearn"}
    assert not imported & slow


def test_scripts_are_sound() -> None:
    for script in ("run_all.sh", "run_tests.sh", "lock.sh", ".ci/run", "setup.sh"):
        subprocess.run(["bash", "-n", str(ROOT / script)], check=True)


LOCKS = ("requirements.lock", "requirements-test.lock", "requirements-torch.txt")


BACKEND = """
import zipfile


def build_editable(folder, *_):
    name = "capsbench-0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        for file, text in {
            "METADATA": "Metadata-Version: 2.1\\nName: capsbench\\nVersion: 0\\n",
            "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
            "RECORD": "",
        }.items():
            wheel.writestr(f"capsbench-0.dist-info/{file}", text)
    return name
"""
"""Builds a project that holds no file, without any library."""


def checkout(folder: Path) -> Path:
    """Makes a checkout whose locks hold one tiny package, beside the folder of its wheel."""
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "setup.sh", folder)
    wheel = folder.parent / "wheels" / "tiny-1-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "")
        about = {"METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n", "RECORD": ""}
        about["WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        for name, text in about.items():
            archive.writestr(f"tiny-1.dist-info/{name}", text)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for name in LOCKS:
        pin = "tiny==1" if name == "requirements-torch.txt" else f"tiny==1 --hash=sha256:{digest}"
        (folder / name).write_text(f"{pin}\n")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "backend.py").write_text(BACKEND)
    (folder / "go.sh").write_text(
        "set -euo pipefail\n"
        'source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"\n'
        'setup "${1:-requirements.lock}"\n'
        '"$PYTHON_BIN" -c "import tiny; print(tiny.__file__)"\n'
    )
    return folder


def go(folder: Path, lock: str = "requirements.lock", **environment: str) -> str:
    """Calls a checkout's script from the folder above. Returns its output."""
    done = subprocess.run(
        ["bash", f"{folder.name}/go.sh", lock],
        cwd=folder.parent,
        env={
            "PATH": os.environ["PATH"],
            "PYTHON": sys.executable,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "wheels",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.stdout


def is_whole(folder: Path, printed: str) -> bool:
    """Returns whether the package is in .venv, and .venv needs nothing outside it."""
    (package,) = folder.glob(".venv/lib/python3*/site-packages/tiny.py")
    return printed.splitlines()[-1] == str(package) and not (folder.parent / "elsewhere").exists()


@pytest.mark.parametrize("surroundings", ["environment", "pip.conf", "Python and paths"])
def test_set_up_works_in_the_surroundings_that_people_have(
    surroundings: str, tmp_path: Path
) -> None:
    folder = checkout(tmp_path / "my checkout")
    elsewhere = str(tmp_path / "elsewhere")
    environment: dict[str, str] = {}
    if surroundings == "environment":
        environment = {f"PIP_{name}": elsewhere for name in ("TARGET", "PREFIX", "ROOT")}
        environment |= {"PIP_USER": "1", "PIP_DRY_RUN": "1", "PIP_REQUIRE_HASHES": "1"}
    elif surroundings == "pip.conf":
        places = "".join(f"{name} = {elsewhere}\n" for name in ("target", "prefix", "root"))
        (tmp_path / "pip.conf").write_text(f"[install]\nuser = true\n{places}")
        environment = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    else:
        with zipfile.ZipFile(tmp_path / "wheels" / "tiny-1-py3-none-any.whl") as wheel:
            wheel.extractall(tmp_path / "module")
        (tmp_path / "my python").symlink_to(Path(sys.executable).resolve())
        environment = {
            "PYTHONPATH": str(tmp_path / "module"),
            "PYTHONHOME": "/opt/other",
            "PYTHON": str(tmp_path / "my python"),
            "CDPATH": f"{tmp_path}:/tmp",
        }
    assert is_whole(folder, go(folder, **environment))
    assert go(folder).count("\n") == 1  # the environment is kept


@pytest.mark.parametrize("pip", ["without pip", "with pip that does not start"])
def test_set_up_repairs_a_venv_and_removes_nothing(pip: str, tmp_path: Path) -> None:
    """A .venv that uv made has no pip, and neither has one whose creation was interrupted."""
    folder = checkout(tmp_path / "checkout")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    mine = folder / ".venv" / "mine"
    mine.write_text("precious")
    if pip != "without pip":
        (site,) = (folder / ".venv" / "lib").glob("*/site-packages")
        (site / "pip").mkdir()
        (site / "pip" / "__init__.py").write_text("torn")
    assert is_whole(folder, go(folder))
    assert mine.read_text() == "precious"


def test_a_venv_that_cannot_be_used_is_one_sentence_and_left_as_it_is(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "checkout")
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    for target, why in (("/nowhere/python3", "cannot be started"), (sys.executable, "belongs to")):
        python.unlink(missing_ok=True)
        python.symlink_to(target)
        announcement, sentence = go(folder).splitlines()
        assert announcement.startswith("Setting up")
        assert f"{folder}/.venv cannot be used, as its Python {why}" in sentence
        assert [path.name for path in (folder / ".venv").rglob("*")] == ["bin", "python"]


@pytest.mark.parametrize(
    ("version", "is_taken"),
    [((2, 7), False), ((3, 10), False), ((3, 11), True), ((3, 14), True), ((3, 15), False)],
)
def test_a_python_that_is_not_supported_is_refused_by_name(
    version: tuple[int, int], is_taken: bool, tmp_path: Path
) -> None:
    folder = checkout(tmp_path / "checkout")
    python = tmp_path / "python"
    python.write_text(
        f"""#!{sys.executable}
import sys
sys.version_info = {(*version, 0)}
if sys.argv[1] == "-c":
    code, sys.argv = sys.argv[2], ["-c", *sys.argv[3:]]
    exec(code)
"""
    )
    python.chmod(0o755)
    printed = go(folder, PYTHON=str(python))
    if is_taken:
        assert printed.startswith("Setting up")
    else:
        name = ".".join(map(str, version))
        assert printed.startswith(f"PYTHON={python} is Python {name}, not 3.11 to 3.14: name")
        assert printed.count("\n") == 1
        assert not (folder / ".venv").exists()


def test_the_supported_pythons_are_named_alike() -> None:
    supported = "3.11 to 3.14"
    assert supported in (ROOT / "setup.sh").read_text()
    assert supported in (ROOT / "README.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.15"
    assert "  - python>=3.11,<3.15\n" in (ROOT / "environment.yaml").read_text()


def test_a_finished_set_up_is_left_alone_and_a_changed_lock_is_installed(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "checkout")
    announced = "Setting up .venv from {}"

    def setup(lock: str) -> bool:
        printed = go(folder, lock)
        assert is_whole(folder, printed)
        return announced.format(lock) in printed

    assert setup("requirements.lock")
    assert not setup("requirements.lock")
    assert setup("requirements-test.lock")
    assert not setup("requirements.lock")  # the test lock holds the other's pins
    with (folder / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert setup("requirements.lock")
    assert setup("requirements-test.lock")  # the other set-up made what is there now
    (folder / "requirements.lock").write_text("tiny==2 --hash=sha256:0\n")
    assert "could not be installed" in go(folder)
    assert not (folder / ".venv" / "installed-from").exists()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this copy is no checkout of Git")
def test_a_checkout_with_converted_line_ends_runs(tmp_path: Path) -> None:
    """Git for Windows converts line ends in this way."""
    clone = ["git", "-c", "core.autocrlf=true", "clone", "-q", "--depth", "1"]
    subprocess.run([*clone, ROOT.as_uri(), tmp_path / "clone"], check=True)
    for name in ("run_all.sh", "setup.sh", "benchmarks/runs/run.py", "requirements.lock"):
        assert b"\r" not in (tmp_path / "clone" / name).read_bytes()
