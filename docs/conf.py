"""How the site is built: `make docs`. Pages are Markdown (MyST), the API comes from docstrings."""

import subprocess
import sys
from pathlib import Path

from sphinx.application import Sphinx

import nova_gym

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "nova-gym"
author = "nova-gym contributors"
project_copyright = author
version = release = nova_gym.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "mathml",
    "docstrings",
]
exclude_patterns = ["_build", "_ext"]

# Markdown
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline", "attrs_block"]
myst_heading_anchors = 3

# Docstrings: Google's sections, shapes and code between single backticks
default_role = "code"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Shapes"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False

# Every reference within the package must lead somewhere; the pages of other projects are not looked up.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(np|numpy|torch|nn|gym|gymnasium|spaces|minari|stable_baselines3|collections|pathlib)\..*"),
    ("py:.*", r"(abc|typing|types|dataclasses|enum)\..*"),
    ("py:class", r"Tensor|Generator|CompiledStep|(dict|list|tuple)\[.*"),  # names that annotations give as strings
]

# Looks
html_theme = "furo"
html_title = f"nova-gym {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"source_repository": "", "navigation_with_keys": True}
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


def _write_the_dream(app: Sphinx, error: Exception | None) -> None:
    """Puts the page of the shipped dream beside the others, for `try.md`."""
    if error is None and app.builder.format == "html":
        command = ["export", "minigrid", "-o", str(Path(app.outdir) / "dream.html"), "--overwrite"]
        subprocess.run([sys.executable, "-m", "nova_gym.cli", *command], check=True, stdout=subprocess.DEVNULL)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("build-finished", _write_the_dream)
