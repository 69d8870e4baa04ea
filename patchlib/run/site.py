"""A website of executed notebooks: Sphinx with MyST-NB does the work, this file prepares what it reads.

Nothing is executed again. A notebook's page shows each figure as it was saved, with its caption as alternative text,
and below it where its numbers come from: the record, with the hashes of settings and inputs. The first page shows all
figures and tables. Configuration, first page and style are in ``site/``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from patchlib import encoders
from patchlib.run import live as live_page
from patchlib.run import notebooks, numbers, pages
from patchlib.support import paths, provenance
from patchlib.support.items import Item

if TYPE_CHECKING:
    from nbformat import NotebookNode

PAPER = (
    "*Patch-wise Retrieval: A Bag of Practical Techniques for Instance-level Matching* "
    "([arXiv 2512.12610](https://arxiv.org/abs/2512.12610), WACV 2026)"
)
HEADLINE = (
    "**Cut each image into a few patches, rank it by its best one: what that buys, what it costs, and where it fails.**"
)
BUILT_IN = (
    "Its numbers come from built-in benchmarks, procedural scenes and photographs that ship, and from small encoders: "
    "they show effects and mechanisms, and are not the paper's, which were measured on INSTRE and ILIAS."
)
LIVE = (
    '<p class="live"><a href="live.html">See it live</a>: search by patches in this browser, with your own '
    "photographs; drag an object over the grid and watch which patch wins.</p>\n"
)
LEFTOVERS = (  # what Sphinx makes for itself, and its search of titles
    ".doctrees", "_sources", ".buildinfo", "objects.inv", "searchindex.js", "_static/searchtools.js",
    "_static/language_data.js",
)  # fmt: skip
THUMBNAIL = 480  # pixels of the longer side
TEASER, SOCIAL = "fig_worlds", (1200, 630)  # the picture that stands for the site, and its pixels


def build(source: Path, figures: Path, out: Path, live: bool = False, slides: bool = False) -> Path:
    """Make the site; returns its first page.

    Args:
        source: folder of executed notebooks; those in ``appendix/`` and ``course/`` come last.
        figures: folder of what they saved.
        out: the site's folder, made anew; what Sphinx reads is left beside it, in ``<out>-source``.
        live: whether the page on which patches search is part of it.
        slides: whether the caller puts slides of the course into its folder ``slides/``.

    Raises:
        ValueError: no executed notebooks; Sphinx failed; ``out`` holds something else than a site.
    """
    from sphinx.cmd.build import main as sphinx

    staged = out.with_name(f"{out.name}-source")
    for folder, signs in ((staged, ["notebooks"]), (out, ["texts.js", "searchindex.js"])):
        if folder.exists():
            if not any((folder / sign).exists() for sign in signs):
                raise ValueError(f"{folder} is in the way, and no site made before; move it, or say --out elsewhere")
            shutil.rmtree(folder)
    sessions = [file.stem for file in sorted(source.glob("course/C*.ipynb"))] if slides else []
    links = ", ".join(f'<a href="slides/{name}.html">{name[:2]}</a>' for name in sessions)
    first = (LIVE if live else "") + (f"\n<p>The course has slides, too: {links}.</p>\n" if links else "")
    stage(source, figures, staged, first)
    made = staged / "html"  # MyST-NB leaves a folder of its own beside
    if sphinx(["-q", "-j", "auto", "-c", os.fspath(paths.shipped() / "site"), os.fspath(staged), os.fspath(made)]):
        raise ValueError(f"Sphinx could not make the site of {staged}; its message stands above")
    for leftover in (made / name for name in LEFTOVERS):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    made.rename(out)
    if live:
        live_page.build(out, home=True)
    return out / "index.html"


def stage(source: Path, figures: Path, out: Path, first: str = "") -> None:
    """Write what Sphinx reads: the notebooks with captions and records, thumbnails, data files and the first page.

    ``first``: what the first page says below its opening, in Markdown.
    """
    files = [file for part in ("", "appendix/", "course/") for file in sorted(source.glob(f"{part}[0-9AC]*_*.ipynb"))]
    files = [file for file in files if not file.stem.endswith(".failed")]
    if not files:
        raise ValueError(f"no executed notebooks in {source}; make them first: make reproduce, with the same PROFILE")
    from nbformat.v4 import new_markdown_cell

    gallery, items = [], dict[str, Item]()  # by their address
    for file in files:
        page = file.relative_to(source).with_suffix("")
        notebook = notebooks.read(file)
        with provenance.atomic_write(out / "files" / "notebooks" / page.with_suffix(".ipynb"), "w") as stream:
            stream.write(json.dumps(pages.empty(notebook), indent=1, ensure_ascii=False) + "\n")
        saved = pages.annotate(notebook, figures, "../" * len(page.parts))
        minutes = notebooks.minutes([paths.notebooks() / file.relative_to(source)]).get(page.name)
        below = pages.about(page.with_suffix(".ipynb").as_posix(), minutes, "../" * len(page.parts))
        notebook.cells.insert(1, new_markdown_cell(below))
        with provenance.atomic_write(out / "notebooks" / page.with_suffix(".ipynb"), "w") as stream:
            stream.write(json.dumps(notebook))
        gallery.append(_section(f"notebooks/{page.as_posix()}", notebook, saved))
        items |= {f"notebooks/{page.as_posix()}.html#{pages.anchor(item)}": item for item in saved}
        for item in saved:
            _publish(item, out)
    site, records = paths.shipped() / "site", [item.record for item in items.values()]
    for file in (site / "clusters.md", site / "numbers.md", paths.shipped() / "ARTIFACT.md"):
        shutil.copyfile(file, out / file.name)
    with provenance.atomic_write(out / "files" / "numbers.js", "w") as stream:
        stream.write(f"const NUMBERS = {json.dumps(numbers.rows(items), ensure_ascii=False)};\n")
    _social(list(items.values()), out)
    parts = {
        "opening": f"{_opening(records, len(files), source == paths.notebooks())}\n{first}",
        "gallery": "\n".join(gallery),
        "citation": _citation(),
        "weights": _weights(),
    }
    for name in ("index.md", "protocols.md"):
        text = (site / name).read_text(encoding="utf-8")
        for part, content in parts.items():
            text = text.replace(f"<!-- {part} -->\n", content)
        with provenance.atomic_write(out / name, "w") as stream:
            stream.write(text)


def _weights() -> str:
    """A table of what each encoder's weights ask of whoever fetches them."""
    lines = ["| encoder | weights | licence | consent |", "|---|---|---|---|"]
    for spec in map(encoders.spec, encoders.names()):
        where = f"{spec.library}: `{spec.model}`"
        source = "none" if spec.family == "Baseline" else "ship with the package" if spec.built_in else where
        source = "installed by pip" if spec.packaged else source
        lines.append(f"| {spec.name} | {source} | {spec.licence} | {pages.text(spec.gated) or 'none asked'} |")
    return "\n".join(lines) + "\n"


def _citation() -> str:
    """BibTeX of the paper and of the companion, from CITATION.cff."""
    companion = yaml.safe_load((paths.shipped() / "CITATION.cff").read_text(encoding="utf-8"))
    paper = companion["preferred-citation"]
    authors = " and ".join(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"])
    return f"""```bibtex
@inproceedings{{patchwise2026,
  title     = {{{paper["title"]}}},
  author    = {{{authors}}},
  booktitle = {{{paper["collection-title"]}}},
  year      = {{{paper["year"]}}},
  url       = {{{paper["url"]}}}
}}

@software{{patchlib,
  title   = {{{companion["title"]}}},
  author  = {{{{{companion["authors"][0]["name"]}}}}},
  version = {{{companion["version"]}}}
}}
```
"""


def _opening(records: Sequence[Mapping[str, Any]], count: int, committed: bool) -> str:
    """What the site is, and whose numbers it shows; only the committed notebooks are every experiment."""
    labels = ", ".join(dict.fromkeys(pages.text(record["label"]) for record in records)) or "no data"
    if not committed:
        names = (
            " and ".join(pages.text(name) for name in sorted({record["profile"] for record in records})) or "no record"
        )
        return f"A run of the profile {names}: {count} notebooks of the companion of {PAPER}, on {labels}.\n"
    return f"{HEADLINE}\n\nEvery experiment of {PAPER} as a notebook to read, rerun and extend. {BUILT_IN}\n"


def _section(page: str, notebook: NotebookNode, saved: Sequence[Item]) -> str:
    """A notebook's part of the first page: its figures as thumbnails, its tables as a list."""
    title = re.search(r"^# +(.+)$", notebook.cells[0].source, re.MULTILINE)
    lines = [f"## [{title[1] if title else page}](/{page}.ipynb)\n"]
    figures = [item for item in saved if item.caption]
    if figures:
        lines += ["::::{container} gallery", *(_card(item, page) for item in figures), "::::\n"]
    lines += [f"- [{item.name}](#{pages.anchor(item)}): {pages.links(item)}" for item in saved if not item.caption]
    return "\n".join([*lines, ""])


def _card(item: Item, page: str) -> str:
    """A figure's thumbnail, message and record; both lead to its place in the notebook."""
    return f""":::{{figure}} /thumbnails/{item.name}.png
:alt: {json.dumps(item.caption, ensure_ascii=False)}
:target: {page}.html#{pages.anchor(item)}
[{pages.text(item.message)}](#{pages.anchor(item)})

`{item.name}` · {pages.links(item)}
:::"""


def _social(items: Sequence[Item], out: Path) -> None:
    """The picture that stands for the site where a link to it is shown: the teaser, or else the first figure."""
    from PIL import Image, ImageOps

    figures = sorted((item for item in items if item.caption), key=lambda item: item.name != TEASER)
    if figures:
        with Image.open(figures[0].picture) as image:
            ImageOps.pad(image.convert("RGB"), SOCIAL, color="white").save(out / "files" / "social.jpg", quality=85)


def _publish(item: Item, out: Path) -> None:
    """Copy an item's record and data, and draw a figure's thumbnail."""
    from PIL import Image

    target = out / "files" / "figures"
    target.mkdir(parents=True, exist_ok=True)
    for file in filter(Path.exists, map(item.file, pages.DATA)):
        shutil.copyfile(file, target / file.name)
    if item.caption:
        thumbnail = out / "thumbnails" / f"{item.name}.png"
        thumbnail.parent.mkdir(exist_ok=True)
        with Image.open(item.picture) as image:
            small = image.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        small.quantize(128).save(thumbnail, optimize=True)
