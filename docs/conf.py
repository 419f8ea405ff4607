"""The documents as a site: make docs."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "ArSSR"
author = "The ArSSR developers"
release = version = installed("arssr")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "sphinx_design",
    "docs.extensions.docstrings",
    "docs.extensions.written",
]
exclude_patterns = ["_build", "extensions", "figures"]

# Every reference must lead somewhere. Other packages' names do not: their sites would have to be
# asked, and a build needs no network.
default_role = "said"  # of docstrings; see docs/extensions/docstrings.py
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", rf"({package})(\..*)?")
    for package in (
        *("pathlib", "os", "collections", "concurrent", "contextlib", "typing"),
        *("numpy", "np", "NDArray", "ArrayLike", "torch", "Tensor", "Module"),
        *("nibabel", "SpatialImage", "SimpleITK", "sitk", "SLURMCluster", "VBox"),
        r"arssr\.jobs\.merging\.SomeJob",  # a type variable, which autodoc takes for a class
    )
]

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # notebooks that are to be run say so themselves
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # no scripts of other hosts

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "ArSSR"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-light",
    "pygments_dark_style": "a11y-dark",
}
html_context = {"default_mode": "auto"}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app: Sphinx) -> None:
    """The list of layers, which a test reads, is a language of its own."""
    app.add_lexer("layers", TextLexer)
