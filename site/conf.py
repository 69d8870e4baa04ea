"""Sphinx's settings for the site (make site). All that a page needs lies beside it: it is read from disk, offline."""

import json
import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

project = "Patch-wise Retrieval"
html_title = project

extensions = ["myst_nb", "sphinx_copybutton"]
templates_path = ["templates"]
nb_execution_mode = "off"  # the pages show what the notebooks hold
exclude_patterns = ["files"]  # records and tables, copied as they are
myst_enable_extensions = ["colon_fence", "dollarmath"]
suppress_warnings = ["mystnb.unknown_mime_type"]

html_theme = "furo"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}
html_favicon = "favicon.svg"
html_baseurl = os.environ.get("PATCHLIB_SITE_URL", "")  # of the host, if it is known: previews of links need all of it
html_static_path = ["style.css", "page.js", "search.js", "numbers.js"]
html_css_files = ["style.css"]
html_js_files = [("page.js", {"defer": "defer"})]
copybutton_exclude = ".linenos, .gp, .go"
html_copy_source = False
html_use_index = False
html_show_sphinx = True
html_show_copyright = False
html_math_renderer = "mathml"  # drawn by the browser itself: no script, no fonts from elsewhere

log = logging.getLogger(__name__)
BAR = re.compile('<mo( class="mathopen")?>([|‖])</mo>')  # to be as high as its letters, not as the sum beside it
TAG = re.compile(r"<style.*?</style>|<[^>]+>", re.DOTALL)
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


def write_texts(app: Sphinx, error: Exception | None) -> None:
    """Write what search.js reads, the text of every page by sections: a script, since pages on disk fetch nothing."""
    if error is not None:
        return
    pages = []
    for name in sorted(app.env.found_docs):
        sections = []
        for section in app.env.get_doctree(name).findall(nodes.section):
            own = [child for child in section.children if not isinstance(child, nodes.section | nodes.title)]
            text = " ".join(TAG.sub(" ", child.astext()) for child in own)
            sections.append([section["ids"][0], section.next_node(nodes.title).astext(), " ".join(text.split())])
        pages.append({"url": f"{name}.html", "sections": sections})
    content = f"const PAGES = {json.dumps(pages, ensure_ascii=False)};\n"
    (Path(app.outdir) / "texts.js").write_text(content, encoding="utf-8")


def complete(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: nodes.document | None) -> None:
    """Headings of the navigation say their level, and a page says what it is about to whoever shows a link to it."""
    navigation = "furo_navigation_tree"
    context[navigation] = context[navigation].replace('role="heading"', 'role="heading" aria-level="2"')
    first = next(iter(tree.findall(nodes.paragraph)), None) if tree else None
    context["description"] = " ".join(first.astext().split()) if first else project


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
    app.connect("config-inited", lambda app, config: config.html_extra_path.append(str(app.srcdir / "files")))
    app.connect("html-page-context", complete, priority=900)  # after the theme
    app.connect("build-finished", write_texts)
