import subprocess
import sys

from benchmarks.datasets import names


def test_names_are_in_the_order_of_the_tables() -> None:
    assert names() == ("mnist", "moving_mnist", "usps", "cifar10", "svhn")


def test_names_need_no_slow_import() -> None:
    code = (
        "import sys; from benchmarks.datasets import names; names();"
        "print({'torch', 'numpy', 'scipy', 'sklearn', 'pooch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
