"""The documentation as a site, which needs no network: make docs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for extension.py

import dacapo

project = "DaCapo"
version = release = dacapo.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "extension"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "DaCapo"
html_static_path = ["_static"]
html_css_files = ["wide_tables.css"]
html_show_sphinx = html_copy_source = html_show_copyright = False
pygments_style, pygments_dark_style = "default", "monokai"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
add_module_names = False
suppress_warnings = ["myst.xref_missing"]  # tests/test_docs.py checks links
exclude_patterns = ["_static"]
