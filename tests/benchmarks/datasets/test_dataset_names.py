from __future__ import annotations

import subprocess
import sys

from benchmarks import datasets
from models import registry
from tests.narrowing import present


def test_names_are_in_the_order_of_the_tables() -> None:
    columns = [present(datasets.find(name).column) for name in datasets.names()]
    assert columns == sorted(columns)
    benchmark = ("mnist", "moving_mnist", "usps", "cifar10", "svhn")
    assert tuple(name for name in datasets.names() if name in benchmark) == benchmark


def test_names_and_columns_are_read_as_the_files_declare_them() -> None:
    for name in (*datasets.names(), *datasets.extra_names()):
        assert (datasets.find(name).column is None) == (name in datasets.extra_names())


def test_each_dataset_is_for_known_tasks() -> None:
    for name in (*datasets.names(), *datasets.extra_names()):
        forms = datasets.find(name).forms
        assert forms
        assert forms.keys() <= set(registry.TASKS)


def test_names_need_no_slow_import() -> None:
    code = (
        "import sys; from benchmarks.datasets import names; names();"
        "print({'torch', 'numpy', 'scipy', 'sklearn', 'pooch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
