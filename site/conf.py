"""Sphinx's settings for the site (make site). All that a page needs lies beside it: it is read from disk, offline."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

project = "Patch-wise Retrieval"
html_title = project

extensions = ["myst_nb"]
nb_execution_mode = "off"  # the pages show what the notebooks hold
exclude_patterns = ["files"]  # records and tables, copied as they are
myst_enable_extensions = ["colon_fence", "dollarmath"]
suppress_warnings = ["mystnb.unknown_mime_type"]

html_theme = "furo"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_use_index = False
html_show_sphinx = True
html_show_copyright = False
html_show_search_summary = False  # would read other pages, which browsers forbid on file://
html_math_renderer = "mathml"  # drawn by the browser itself: no script, no fonts from elsewhere

log = logging.getLogger(__name__)
BAR = re.compile('<mo( class="mathopen")?>([|‖])</mo>')  # to be as high as its letters, not as the sum beside it
SYNONYMS = {r"\dots": r"\ldots", r"\big": ""}  # of what docutils does not know; MathML brackets grow by themselves


def mathml(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML; one that docutils cannot read stays TeX, with a warning."""
    tex, block = node.astext(), isinstance(node, nodes.math_block)
    for command, known in SYNONYMS.items():
        tex = re.sub(re.escape(command) + "(?![A-Za-z])", lambda _, known=known: known, tex)
    try:
        formula = BAR.sub(r'<mo\1 stretchy="false">\2</mo>', tex2mathml(tex, as_block=block))
    except MathError as error:
        log.warning("formula %r: %s", tex, error, location=node)
        formula = f"<code>{translator.encode(tex)}</code>"
    translator.body.append(f'<div class="math">{formula}</div>' if block else f'<span class="math">{formula}</span>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
    app.connect("config-inited", lambda app, config: config.html_extra_path.append(str(app.srcdir / "files")))
