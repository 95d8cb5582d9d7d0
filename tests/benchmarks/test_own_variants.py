"""Tests variants in a user's file: its hash is part of the spec, and it is stored with the
results.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import RunSpec, load_model, own_variants, run, specify
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.errors import InputError
from benchmarks.specs.profiles import ProfileName
from models import registry
from sweeps.studies.space import load_space

ROOT = Path(__file__).resolve().parents[2]
FILE = re.search(r"```python\n(.*?)```", (ROOT / "docs/your-own-model.md").read_text(), re.S)[1]  # type: ignore[index]


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Removes the variants that a test adds, so that other tests do not see them."""
    forget()
    yield
    forget()


def forget() -> None:
    """Removes all added variants from this process; keeps the classes of capsbench's own."""
    for name in [name for name in sys.modules if name.startswith("capsbench_variants_")]:
        del sys.modules[name]
    for name, cls in list(registry._classes.items()):
        if cls.__module__.startswith("capsbench_variants_"):
            del registry._classes[name]
    registry._added.clear()
    registry.available.cache_clear()


def written(folder: Path, content: str = FILE, name: str = "mynet.py") -> Path:
    path = folder / name
    path.write_text(content)
    return path


def spec_of(folder: Path) -> RunSpec:
    return specify(
        "mynet",
        "usps",
        profile=ProfileName.smoke,
        budget={"train_samples": 64, "validation_samples": 32},
        source=DataSource(folder / "data", "none"),
    )


def trained(folder: Path) -> str:
    source = DataSource(folder / "data", "none")
    return run(spec_of(folder), source=source, results=folder / "results").run_id


def test_the_documents_example_is_trained_and_loaded_again(tmp_path: Path) -> None:
    own_variants.add_variants(written(tmp_path))
    run_id = trained(tmp_path)
    around = [line for line in FILE.splitlines() if line and "nn." not in line]
    assert len(around) <= 10, "a plain network needs no more than ten lines around it"
    forget()
    (tmp_path / "mynet.py").unlink()
    assert load_model(run_id, results=tmp_path / "results").spec.variant == "mynet"


def test_the_example_of_contributing_is_a_variant_with_a_space(tmp_path: Path) -> None:
    blocks = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    (code,) = [text for kind, text in blocks if kind == "python" and "@register" in text]
    (ranges,) = [text for kind, text in blocks if kind == "yaml"]
    own_variants.add_variants(written(tmp_path, code, "perceptron.py"))
    path = written(tmp_path, ranges, "perceptron.yaml")
    searched = {
        profile.value: set(
            load_space("perceptron", registry.variant("perceptron"), profile, path).distributions
        )
        for profile in (ProfileName.smoke, ProfileName.quick, ProfileName.paper)
    }
    assert searched == {"smoke": {"lr"}, "quick": {"lr"}, "paper": {"lr", "width"}}
    source = DataSource(tmp_path / "data", "none")
    spec = specify(
        "perceptron",
        "usps",
        profile=ProfileName.smoke,
        hyperparameters={"width": 16},
        budget={"train_samples": 64, "validation_samples": 32},
        source=source,
    )
    assert run(spec, source=source, results=tmp_path / "results").status == "complete"


def test_a_changed_file_makes_another_run(tmp_path: Path) -> None:
    own_variants.add_variants(written(tmp_path))
    first = spec_of(tmp_path)
    forget()
    own_variants.add_variants(written(tmp_path, FILE + "# changed\n"))
    assert spec_of(tmp_path).run_id != first.run_id


def test_specs_of_capsbenchs_own_variants_know_no_file(tmp_path: Path) -> None:
    """Their run ids would change otherwise."""
    source = DataSource(tmp_path, "none")
    spec = specify("linear", "usps", profile=ProfileName.smoke, source=source)
    assert "variant_sha256" not in spec.model_dump(mode="json")


def test_a_stored_file_that_was_changed_is_refused_and_not_run(tmp_path: Path) -> None:
    own_variants.add_variants(written(tmp_path))
    run_id = trained(tmp_path)
    forget()
    (stored,) = (tmp_path / "results" / "variants").iterdir()
    stored.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{FILE}")
    with pytest.raises(InputError, match="has no unchanged file"):
        load_model(run_id, results=tmp_path / "results")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("def (", "is no Python file"),
        ("import torch\n", "registers no variant"),
        (FILE.replace("(PlainClassifier)", "(nn.Module)"), "MyNet is no subclass of Variant"),
        (
            FILE.replace("    space =", "    Config = dict\n    space ="),
            "MyNet has a Config that is no subclass of Hyperparameters",
        ),
        (
            FILE.replace("import PlainClassifier", "import PlainClassifier, PlainConfig").replace(
                "    space =", "    class Config(PlainConfig):\n        width: int\n\n    space ="
            ),
            "MyNet has no valid defaults (width: Field required)",
        ),
        (FILE.replace('"mynet"', '"cnn"'), "capsbench has a variant 'cnn' already"),
        (FILE.replace('"mynet"', '"../x"'), "cannot be a variant's name"),
        (FILE.replace("classification", "clasification"), "did you mean 'classification'"),
        ("import no_such_package\n" + FILE, "be imported (ModuleNotFoundError in line 1: No"),
        ("raise SystemExit(3)\n" + FILE, "cannot be imported (SystemExit in line 1: 3)"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, content: str, reason: str) -> None:
    with pytest.raises(InputError, match=re.escape(reason)):
        own_variants.add_variants(written(tmp_path, content))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            '{"serch": {}}',
            "the space of mynet: no section is called 'serch': did you mean 'search'",
        ),
        ("[1]", "the space of mynet: its content must be a mapping"),
    ],
)
def test_a_wrong_space_names_no_file_that_is_not_there(
    change: str, reason: str, tmp_path: Path
) -> None:
    content = re.sub("space = .*", f"space = {change}", FILE)
    own_variants.add_variants(written(tmp_path, content))
    with pytest.raises(InputError, match=re.escape(reason)):
        load_space("mynet", registry.variant("mynet"), ProfileName.smoke)


def test_a_missing_file_and_an_unclear_name_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        own_variants.named(str(tmp_path / "none.py"))
    two = FILE + FILE.replace("mynet", "other").replace("MyNet", "Other")
    path = written(tmp_path, two)
    with pytest.raises(InputError, match="registers several variants"):
        own_variants.named(str(path))
    assert own_variants.named(f"{path}:other") == "other"
    assert own_variants.named("linear") == "linear"


def test_a_network_of_another_size_is_one_sentence(tmp_path: Path) -> None:
    own_variants.add_variants(written(tmp_path, FILE.replace("shape.classes", "3")))
    source = DataSource(tmp_path / "data", "none")
    record = run(spec_of(tmp_path), source=source, results=tmp_path / "results")
    assert record.status == "failed"
    assert "instead of 2 × 10 scores" in str(record.reason)


def test_a_sweep_finds_it_in_its_workers_and_when_it_resumes(tmp_path: Path) -> None:
    written(tmp_path)

    def call(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, str(ROOT / "capsbench.py"), *words, "--results", "results"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                "PATH": "",
                "HOME": str(tmp_path),
            },
            timeout=400,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    options = ("--profile", "smoke", "--offline", "--only", "mynet/usps", "--trials", "1")
    call("sweep", "--variants", "mynet.py", *options)
    (tmp_path / "mynet.py").unlink()
    assert "mynet" in call("add", "--trials", "1")
