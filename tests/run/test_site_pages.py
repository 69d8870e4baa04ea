"""The site of the committed notebooks: nothing dangles or is fetched, numbers are traced, it reads on a phone."""

import contextlib
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from patchlib.run import site
from patchlib.support import paths, provenance

# of MyST's use of Sphinx
pytestmark = pytest.mark.filterwarnings("ignore:.*MystReferenceResolver.app")

FIGURES = paths.root() / "figures"
LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}


@dataclass
class Page(HTMLParser):
    """What a page holds."""

    file: Path
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    images: list[dict[str, str | None]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = dict(attrs)
        self.ids |= {has.get("id") or "", *(["top"] if tag == "body" else [])}
        if tag == "a" and has.get("href"):
            self.links.append(str(has["href"]))
        if tag == "img":
            self.images.append(has)
        if has.get(LOADED.get(tag, "")) and has.get("rel") not in ("next", "prev", "index", "search"):
            self.loads.append(str(has[LOADED[tag]]))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@dataclass(frozen=True)
class Site:
    home: Path
    said: str
    pages: dict[Path, Page]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site, and what Sphinx said while making it."""
    said = io.StringIO()
    out = tmp_path_factory.mktemp("made") / "site"
    with contextlib.redirect_stderr(said):
        home = site.build(paths.notebooks(), FIGURES, out)
    return Site(home, said.getvalue(), {file: Page(file) for file in sorted(out.rglob("*.html"))})


def test_sphinx_has_nothing_to_complain_about(made: Site) -> None:
    assert made.said == ""


def test_every_notebook_has_a_page_and_they_follow_each_other(made: Site) -> None:
    files = [
        *sorted(paths.notebooks().glob("*.ipynb")),
        *(file for part in ("appendix", "course") for file in sorted(paths.notebooks().glob(f"{part}/*.ipynb"))),
    ]
    expected = [file.relative_to(paths.root()).with_suffix(".html").as_posix() for file in files]
    expected += ["numbers.html", "protocols.html", "ARTIFACT.html", "clusters.html"]
    page, order = made.pages[made.home], []
    while following := [link for link in _rel(page.file, "next") if link]:
        page = made.pages[(page.file.parent / following[0]).resolve()]
        order.append(page.file.relative_to(made.home.parent).as_posix())
    assert order == expected


def _rel(file: Path, kind: str) -> Iterator[str]:
    text = file.read_text(encoding="utf-8")
    yield from (part.split('href="')[1].split('"')[0] for part in text.split("<link ")[1:] if f'rel="{kind}"' in part)


def test_no_link_or_picture_leads_nowhere(made: Site) -> None:
    dead = []
    for file, page in made.pages.items():
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if parts.scheme in ("http", "https") and link not in page.loads:
                continue  # a way out, taken only by a click
            known = target in made.pages or target.is_file()
            anchored = not parts.fragment or unquote(parts.fragment) in made.pages[target].ids
            if parts.scheme or not known or not anchored:
                dead.append(f"{file.name}: {link}")
    assert dead == []


def test_style_sheets_fetch_nothing(made: Site) -> None:
    sheets = [file.read_text(encoding="utf-8") for file in made.home.parent.rglob("*.css")]
    assert sheets
    assert not [sheet for sheet in sheets if "url(http" in sheet or "url(//" in sheet or "@import" in sheet]


def test_every_picture_has_words(made: Site) -> None:
    pictures = [image for page in made.pages.values() for image in page.images]
    assert len(pictures) >= 2 * len(list(FIGURES.glob("fig_*.png")))  # a thumbnail, and the figure in its notebook
    assert [image for image in pictures if len(image.get("alt") or "") < 15] == []


def test_it_is_small(made: Site) -> None:
    assert (
        sum(file.stat().st_size for file in made.home.parent.rglob("*") if file.is_file()) < 17e6
    )  # the live page and slides, 24 MB, come beside


def test_every_figure_and_table_leads_through_its_record_to_settings_and_inputs(made: Site) -> None:
    records = {file.name: provenance.read_json(file) for file in made.home.parent.glob("figures/*.json")}
    assert set(records) == {file.name for file in FIGURES.glob("*.json") if "item" in provenance.read_json(file)}
    text = {file: "".join(page.words) for file, page in made.pages.items()}
    index = made.pages[made.home]
    for name, record in records.items():
        assert provenance.config_hash(record["config"]) == record["config_hash"]
        assert f"figures/{name}" in index.links
        anchor = f"record-{name.removesuffix('.json').replace('_', '-')}"
        (page,) = (page for page in made.pages.values() if page is not index and anchor in page.ids)
        assert any(link.endswith(f"figures/{name}") for link in page.links)
        assert all(value in text[page.file] for value in (record["config_hash"], *record["inputs"].values()))


# --- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def _look(browser: Any, page: Path, width: int, scheme: str, query: str = "") -> dict[str, Any]:
    """What the browser makes of a page of a certain width in px; ``scheme`` is light or dark."""
    from selenium.webdriver.support.ui import WebDriverWait

    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(page.as_uri() + query)
    arrived = "return location.href == arguments[0] && document.readyState == 'complete'"
    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(arrived, page.as_uri() + query))
    found = browser.execute_script(SCRIPT)
    return {**found, "log": [entry["message"] for entry in browser.get_log("browser")]}


# relative luminance and contrast as WCAG 2 defines them; opaque background of the nearest ancestor that has one
SCRIPT = """
const channel = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const parse = text => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => 0.2126*channel(r/255) + 0.7152*channel(g/255) + 0.0722*channel(b/255);
const behind = e => { for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] == 1) return c; }
  return [255, 255, 255]; };
const contrast = e => { const ends = [light(parse(getComputedStyle(e).color)), light(behind(e))];
  return (Math.max(...ends) + 0.05) / (Math.min(...ends) + 0.05); };
const told = [...document.querySelectorAll(
  "article p, article li, article td, article th, article pre, article math, article figcaption a")];
return {
  overflow: document.documentElement.scrollWidth - innerWidth,
  broken: [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src),
  fetched: performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("file:")),
  faint: told.filter(e => contrast(e) < 4.5).map(e => [e.tagName, e.textContent.slice(0, 40), contrast(e)]),
  background: light(behind(document.querySelector("article"))),
  told: told.length,
};
"""


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_read_well(made: Site, browser: Any, width: int, scheme: str) -> None:
    for file in made.pages:
        seen = _look(browser, file, width, scheme)
        faults = {key: seen[key] for key in ("log", "broken", "fetched", "faint") if seen[key]}
        assert (file.name, faults) == (file.name, {})
        assert (file.name, seen["overflow"] <= 0) == (file.name, True)
        assert (file.name, seen["background"] < 0.5) == (file.name, scheme == "dark")
        assert file.name == "search.html" or seen["told"] > 5


@pytest.mark.browser
@pytest.mark.parametrize(
    ("asked", "first"),
    [("k-means", {"08", "09"}), ("LocScore", {"04"}), ("re-ranking", {"10"}), ("nowhere-at-all", set())],
)
def test_search_from_disk_finds_the_page_about_it(made: Site, browser: Any, asked: str, first: set[str]) -> None:
    seen = _look(browser, made.home.with_name("search.html"), 1280, "light", f"?q={asked}")
    links = browser.execute_script("return [...document.querySelectorAll('ol.search a')].map(link => link.href)")
    assert {link.rpartition("/")[2][:2] for link in links[: len(first)]} == first
    assert browser.execute_script("return document.querySelectorAll('ol.search mark').length > 0") == bool(first)
    assert (seen["log"], browser.get_log("browser")) == ([], [])


@pytest.mark.browser
def test_numbers_are_filtered_and_sorted(made: Site, browser: Any) -> None:
    seen = _look(browser, made.home.with_name("numbers.html"), 390, "light")
    shown = browser.execute_script("""
        const form = document.getElementById("wanted");
        const { words, whose, quantity } = form.elements;
        [words.value, whose.value, quantity.value] = ["siglip instre l3", "paper", "mAP"];
        form.dispatchEvent(new Event("input"));
        for (let click = 0; click < 2; click++) document.querySelectorAll("#number-table th button")[4].click();
        const rows = [...document.querySelectorAll("#number-table tbody tr")];
        return rows.map(row => [...row.cells].map(cell => cell.textContent));
    """)
    assert shown and all(row[0] == "paper" and "SigLIP" in row[2] and row[3] == "mAP" for row in shown)
    values = [float(row[4]) for row in shown]
    assert values == [87.015]
    assert (seen["log"], browser.get_log("browser")) == ([], [])


@pytest.mark.browser
def test_what_scrolls_can_be_reached_and_names_are_told(made: Site, browser: Any) -> None:
    """Rules of axe-core that a page of Furo and MyST-NB breaks by itself."""
    for name in (
        "index.html",
        "protocols.html",
        "notebooks/03_patchify_levels.html",
        "notebooks/14_paper_vs_ours.html",
    ):
        _look(browser, made.home.parent / name, 390, "light")
        assert browser.execute_script(RULES) == []


RULES = """
const scrolls = e => e.scrollWidth > e.clientWidth + 1 && ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
const all = selector => [...document.querySelectorAll(selector)];
return [
  ...all("article *").filter(e => scrolls(e) && e.tabIndex < 0 && !e.querySelector("a, button, input, [tabindex]")),
  ...all("[role=heading]:not([aria-level])"),
  ...all("th").filter(e => !e.textContent.trim()),
  ...all("aside:not([aria-label])").filter(e => !e.closest("article")),
].map(e => e.outerHTML.slice(0, 80));
"""


@pytest.mark.browser
def test_a_thumbnail_leads_to_the_figure_in_sight(made: Site, browser: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    _look(browser, made.home, 1280, "light")
    browser.get(browser.execute_script("return document.querySelector('.gallery figure a').href"))

    def in_sight(_: Any) -> bool:  # the page scrolls there smoothly
        image, note = browser.execute_script(PLACES)
        return 0 <= image < note < 800

    WebDriverWait(browser, 10).until(in_sight)


# tops, in the window, of the note that the address names and of the picture above it
PLACES = """
const note = document.getElementById(location.hash.slice(1));
const above = image => image.compareDocumentPosition(note) & Node.DOCUMENT_POSITION_FOLLOWING;
const image = [...document.querySelectorAll(".cell_output img")].filter(above).at(-1);
return [image, note].map(element => element.getBoundingClientRect().top);
"""
