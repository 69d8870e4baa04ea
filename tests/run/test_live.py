"""The live page: its network is the package's, its rankings too, and it keeps to itself. Most of it needs a browser."""

import gzip
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patchlib import encoders, images, regions, search
from patchlib.encoders import onnx_runtime
from patchlib.features import FeatureSet
from patchlib.run import live
from patchlib.support import paths

SIZE = "--window-size=1280,1400"  # all of a canvas is in sight
SOURCE = paths.root() / "site" / "live"


def test_the_runtime_is_the_one_its_licence_names() -> None:
    said = (SOURCE / "ort" / "LICENSE").read_text(encoding="utf-8")
    wasm = gzip.decompress((SOURCE / "ort" / "ort.wasm.gz").read_bytes())
    for content in ((SOURCE / "ort" / "ort.js").read_bytes(), wasm):
        assert hashlib.sha256(content).hexdigest() in said


def test_half_the_bytes_are_the_same_network(tmp_path: Path) -> None:
    encoder = encoders.create(live.ENCODER)
    whole = encoders.export(encoder)
    half = tmp_path / "half.onnx"
    half.write_bytes(onnx_runtime.halved(whole))
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    crops = np.random.default_rng(0).integers(0, 256, (8, 80, 80, 3), dtype=np.uint8)
    cosines = (onnx_runtime.load(half)(crops) * encoder.encode(crops)).sum(1)
    np.testing.assert_allclose(cosines, 1, atol=1e-4)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, below a folder that is served: a static host may put it anywhere."""
    return live.build(tmp_path_factory.mktemp("host") / "sub" / "path")


@pytest.mark.browser
def test_it_is_small_and_every_file_is_named(page: Path) -> None:
    data = page.parent / "live" / "data"
    table = json.loads((data / "database.json").read_text())
    assert (len(table["images"]), len(table["queries"])) == (300, 30)
    assert all((data / row[key]).is_file() for rows in ("images", "queries") for row in table[rows] for key in
               ("file", "sprite") if key in row)  # fmt: skip
    sizes = [file.stat().st_size for file in page.parent.rglob("*") if file.is_file()]
    assert max(sizes) < 5e6 and sum(sizes) < 15e6
    assert (data / "descriptors.bin").stat().st_size < 3e6


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[Any]:
    """Chromium with the page open and its encoder ready."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", SIZE):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    handler = partial(Quiet, directory=str(page.parents[2]))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        driver.set_script_timeout(120)
        driver.get(f"http://127.0.0.1:{server.server_port}/sub/path/live.html")
        WebDriverWait(driver, 120).until(lambda d: d.execute_script("return document.documentElement.dataset.ready"))
        yield driver
        driver.quit()
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing."""


def described(browser: Any, file: str, boxes: list[list[float]] | None = None) -> np.ndarray:
    """Rows that the page gives patches of one of its pictures; None = the whole picture."""
    rows = browser.execute_async_script(
        """const [file, boxes, done] = arguments;
        import("./live/pixels.js").then(async ({ decode }) => {
          const image = await decode(await (await fetch("live/data/" + file)).blob());
          done([...await live.describe(image, boxes || [[0, 0, image.width, image.height]])]);
        });""",
        file,
        boxes,
    )
    return np.reshape(rows, (-1, 128))


@pytest.mark.browser
def test_descriptors_and_winners_are_torchs(page: Path, browser: Any) -> None:
    assert browser.execute_script("return document.documentElement.dataset.ready") == "yes"
    encoder, data = encoders.create(live.ENCODER), page.parent / "live" / "data"
    table = json.loads((data / "database.json").read_text())
    rows = np.fromfile(data / "descriptors.bin", "<f2").reshape(-1, encoder.dim).astype(np.float32)
    count = 30 * len(table["images"])
    boxes = np.concatenate([regions.grid(row["width"], row["height"], 3) for row in table["images"]])
    features = FeatureSet(rows[:count], boxes, np.arange(0, count + 1, 30), rows[count:])

    def torchs(file: str, parts: list[list[float]] | None = None) -> np.ndarray:
        picture = images.read(data / file)
        return encoder.encode(np.stack(list(images.cut(
            picture, np.array(parts or [[0, 0, *picture.size]], np.float32), encoder.input_size, encoder.interpolation
        ))))  # fmt: skip

    size = images.size(data / "images/200.jpg")
    parts = regions.grid(*size, 3).tolist()
    ours, theirs = described(browser, "images/200.jpg", parts), torchs("images/200.jpg", parts)
    assert (ours * theirs).sum(1).min() > 0.999
    shown = browser.execute_async_script(
        """const done = arguments[0]; import("./live/ranking.js").then(({ rank }) =>
        done(live.data.queries.map((query) => rank(query.row, live.data.rows, 300, 3).slice(0, 20))));"""
    )
    exact = search.rank(features.query_descriptors, features, 20)
    for query, found in enumerate(shown):
        assert [one["image"] for one in found] == exact.images[query].tolist()
        assert [30 * one["image"] + one["region"] for one in found] == exact.regions[query].tolist()
    for query in range(20):
        file = table["queries"][query]["file"]
        ours, theirs = described(browser, file), torchs(file)
        assert (ours * theirs).sum() > 0.999
        ranked = [search.rank(row.astype(np.float32), features, 1) for row in (ours, theirs)]
        assert ranked[0].regions[0, 0] == ranked[1].regions[0, 0]


@pytest.mark.browser
def test_a_dropped_photograph_is_searched_for(browser: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    browser.execute_async_script(
        """const done = arguments[0];
        fetch("live/data/images/210.jpg").then((response) => response.blob()).then((blob) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([blob], "mine.jpg", { type: "image/jpeg" }));
          const how = { dataTransfer: transfer, bubbles: true, cancelable: true };
          document.body.dispatchEvent(new DragEvent("drop", how));
          done();
        });"""
    )
    said = "return document.getElementById('status').textContent"
    WebDriverWait(browser, 60).until(lambda driver: "searched for mine.jpg" in driver.execute_script(said))
    first = browser.execute_script("return live.search.state.patches[0]")
    assert first["image"] == 210 and first["score"] > 0.98  # itself, as a whole
    assert "nobody knows" in browser.execute_script("return document.getElementById('patches-said').textContent")


@pytest.mark.browser
def test_dragging_changes_the_winner(browser: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    canvas = browser.find_element("id", "play")
    text = "return document.getElementById('play-said').textContent"
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(text))
    seen = set()
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    reach = [int(0.3 * canvas.size[side]) for side in ("width", "height")]
    for x, y in ((-1, -1), (1, -1), (1, 1)):
        before = browser.execute_script("return live.play.state.trail.length")
        chain = ActionChains(browser).move_to_element(canvas).click_and_hold()
        chain.move_by_offset(x * reach[0], y * reach[1]).release().perform()
        WebDriverWait(browser, 60).until(
            lambda driver, n=before: driver.execute_script("return live.play.state.trail.length") > n
        )
        WebDriverWait(browser, 60).until(
            lambda driver: driver.execute_script("return live.play.state.trail.at(-1)[0] == live.play.state.x")
        )
        seen.add(browser.execute_script("return live.play.state.best"))
    assert len(seen) > 1
    assert "lowest so far" in browser.execute_script("return document.getElementById('broken').value")


@pytest.mark.browser
def test_windows_are_the_librarys_and_heat_and_play_move_by_them(browser: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    for width, height, stride in ((640, 480, 1), (333, 500, 0.5), (101, 77, 0.5)):
        shown = browser.execute_async_script(
            "const [w, h, s, done] = arguments; import('./live/pixels.js').then(({ grid }) => done(grid(w, h, s)));",
            *(width, height, stride),
        )
        np.testing.assert_array_equal(shown, regions.sliding(width, height, 3, stride))
    choose = "const part = document.getElementById(arguments[0]); part.value = arguments[1];"
    for view in ("heat", "play"):
        for stride, count in (("0.5", 84), ("1", 30)):
            browser.execute_script(f"{choose} part.dispatchEvent(new Event('change'));", f"{view}-stride", stride)
            WebDriverWait(browser, 60).until(
                lambda driver, n=count, what=f"live.{view}.state.scores?.length": (
                    driver.execute_script(f"return {what}") == n
                )
            )
    assert "the best of 30 patches" in browser.execute_script("return document.getElementById('heat-said').textContent")


@pytest.mark.browser
def test_it_keeps_to_itself_and_fits_a_phone(browser: Any) -> None:
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    home = browser.execute_script("return location.origin") + "/sub/path/live/"
    assert fetched and [name for name in fetched if not name.startswith((home, "data:", "blob:"))] == []
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    assert [entry["message"] for entry in browser.get_log("browser")] == []


@pytest.mark.browser
def test_from_a_file_it_says_how_to_serve_it(page: Path, browser: Any) -> None:
    browser.get(page.as_uri())
    assert "python -m http.server" in browser.execute_script("return document.getElementById('status').textContent")
    assert [entry["message"] for entry in browser.get_log("browser")] == []
