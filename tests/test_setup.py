"""What a fresh machine relies on: locks, pins, scripts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*==[^ ;\\]+)( ; [^\\]+?)? *\\?$", re.MULTILINE)


def pins(lock: str) -> set[str]:
    text = (ROOT / lock).read_text()
    return {pin + (marker or "") for pin, marker in PIN.findall(text)}


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
    assert pins("requirements.lock") <= pins("requirements-test.lock")


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-test.lock"])
def test_each_pin_has_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert len(blocks) == len(pins(lock))
    for block in blocks:
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert not re.search(r"https?://|file:|--index|--find-links|--extra", text)
    assert not re.search(r"^(torch|triton|nvidia|cuda)[-=]", text, re.MULTILINE)


@pytest.mark.parametrize("room", ["sweeps", "benchmarks", "reports"])
@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("list",)])
def test_help_and_list_answer_without_slow_imports(room: str, arguments: tuple[str, ...]) -> None:
    if room != "sweeps" and arguments != ("--help",):
        arguments = ("build" if room == "reports" else "run", "--help")
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


def test_an_interrupted_setup_is_repaired_and_a_finished_one_is_left_alone(tmp_path: Path) -> None:
    """With a pip that only takes notes, in a copy of what set-up reads."""
    for name in (
        "setup.sh",
        "requirements.lock",
        "requirements-test.lock",
        "requirements-torch.txt",
        "pyproject.toml",
    ):
        shutil.copy(ROOT / name, tmp_path)
    notes, fake = tmp_path / "notes", tmp_path / "python"
    fake.write_text(
        "#!/bin/bash\n"
        f'echo "$*" >> {notes}\n'
        'if [ "$1 $2 $3" = "-m venv --clear" ]; then\n'
        '  mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; fi\n'
        f'if [ "$1 $2" = "-m pip" ] && [ -e {tmp_path}/broken ]; then exit 1; fi\n'
    )
    fake.chmod(0o755)

    def setup(lock: str) -> list[str]:
        notes.write_text("")
        script = f"source {tmp_path}/setup.sh; setup {lock}"
        subprocess.run(["bash", "-c", script], env={"PYTHON": str(fake), "PATH": "/usr/bin:/bin"})
        return [line for line in notes.read_text().splitlines() if line.startswith("-m")]

    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "broken").touch()
    shutil.copy(fake, tmp_path / ".venv" / "bin" / "python")
    assert "-m venv --clear" in setup("requirements.lock")[1]  # Python was there, pip was not
    (tmp_path / "broken").unlink()
    assert any("requirements.lock" in line for line in setup("requirements.lock"))
    assert setup("requirements.lock") == []
    assert "requirements-test.lock" in setup("requirements-test.lock")[1]
    assert setup("requirements.lock") == []  # the test lock holds the other's pins
    (tmp_path / "requirements.lock").write_text("changed==1\n")
    assert any("requirements.lock" in line for line in setup("requirements.lock"))
    assert len(setup("requirements-test.lock")) == 4  # what lies there now is the other's
