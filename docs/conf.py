"""Settings of the docs site: `.venv/bin/sphinx-build -W docs site` writes it into `site/`."""

import tomllib
from pathlib import Path

with (Path(__file__).parents[1] / "pyproject.toml").open("rb") as file:
    release = tomllib.load(file)["project"]["version"]

project = "capsbench"
extensions = ["myst_nb"]  # Markdown and notebooks
nb_execution_mode = "off"  # the outputs in the notebook are shown; a test executes it
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"capsbench {release}"
html_copy_source = False
html_show_copyright = False
