"""How Sphinx builds the site: ``make site`` writes it to build/site.

The pages of this folder are plain Markdown that also reads well in a repository. ``_sphinx`` holds what turns them
into a site: the form of docstrings, links to files of the repository, formulas as MathML. No page asks the network for
anything, so the site can be read from the disk.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from optimlab.common.version import __version__  # noqa: E402

project, version, release = "optimlab", __version__, __version__
language = "en"
exclude_patterns = ["README.md", "_sphinx", "_templates", "figures", "errata"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "_sphinx.accessible",
    "_sphinx.docstrings",
    "_sphinx.formulas",
    "_sphinx.lessons",
    "_sphinx.repository",
]

# Pages
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_url_schemes = ["http", "https", "mailto", "repository"]
suppress_warnings = ["misc.highlighting_failure"]  # excerpts such as "[...]" are no complete programs

# Lessons are executed whenever the site is built; an error in a cell is an error of the build.
nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# The reference
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

# Looks
html_theme = "pydata_sphinx_theme"
html_title = "optimlab"
html_math_renderer = "mathml"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_extra_path = ["../build/samples"]
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # it would be fetched, which browsers do not do from the disk
html_theme_options = {
    "logo": {"text": "optimlab"},
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc", "notebook"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": []}
copyright = "the authors of optimlab. MIT licence"
