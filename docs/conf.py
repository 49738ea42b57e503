"""How Sphinx builds the site: `tox -e docs`, or `sphinx-build -W -b html docs build/site`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "site"))

project = "needle"
author = "the authors of needle"
copyright = "the authors of needle, Apache-2.0"
extensions = ["sphinx.ext.autodoc", "myst_parser", "docstrings", "mathml", "notebook"]
exclude_patterns = ["site", "examples", "images"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# The blocks that show a run: marked up as text.
highlight_language = "text"
suppress_warnings = ["misc.highlighting_failure"]  # equations and "..." inside consoles

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # compute and gradient of every op
python_use_unqualified_type_names = True
python_display_short_literal_types = True
add_module_names = False

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "needle"
html_static_path: list[str] = []
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
