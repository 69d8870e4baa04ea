"""Look into a ranking by clicking: choose what to search in and how, take a query, see which patches decided.

Everything that is computed is :mod:`patchlib.explorer.session`'s; here are the widgets. Where no kernel runs, the
explorer's output is the picture of its first state.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import ipywidgets as widgets
from PIL import Image

from patchlib import images, plots, regions
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.charts.examples import COLOURS
from patchlib.explorer import pictures
from patchlib.explorer.session import INDEXES, Answer, Choice, Workbench, query_picture
from patchlib.studies import examples

PAGE = 10  # queries shown at a time
QUERY_SIDE = 90  # pixels


class Explorer:
    """The widgets and what they show now.

    Attributes:
        bench: what is asked.
        choice: benchmark, encoder, level and index of the answer.
        answer: what is shown.
        image: index of the image whose patches are shown.
        benchmark, encoder, level, index, upload, back, forward: controls.
        queries, results: rows of clickable pictures; ``.children[i].button`` is the i-th one's button.
        status, heat, table, log: where text, the similarity map, the scores and progress appear.
        view: all of it.
    """

    def __init__(self, bench: Workbench, query: int = 0) -> None:
        """Search for a query of the default benchmark and show the answer."""
        self.bench, self.choice, self.page, self._settled = bench, bench.default, query // PAGE, True
        self._question: Callable[[Choice], Answer] = partial(self._of_benchmark, query)
        self.benchmark = widgets.Dropdown(options=list(bench.profiles), description="benchmark")
        self.encoder = widgets.Dropdown(options=bench.encoders, description="encoder")
        levels = [(f"L{level}", level) for level in regions.LEVELS]
        self.level = widgets.ToggleButtons(options=levels, value=self.choice.level, description="level")
        self.index = widgets.ToggleButtons(options=INDEXES, description="index")
        for buttons in (self.level, self.index):
            buttons.style.button_width = "64px"
        self.upload = widgets.FileUpload(accept="image/*", description="your photo", tooltip="search for a photo")
        self.back, self.forward = (widgets.Button(description=text, layout={"width": "40px"}) for text in "◀▶")
        self.pages, self.status, self.table = widgets.Label(), widgets.HTML(), widgets.HTML()
        self.queries, self.results = (widgets.HBox(layout={"flex_flow": "row wrap"}) for _ in range(2))
        self.heat, self.log = widgets.Image(layout={"width": "680px", "max_width": "100%"}), widgets.Output()
        self.view = self._arrange()
        self._show(bench.ask(self.choice, query))
        self._show_queries()
        self._connect()

    def picture(self) -> bytes:
        """What is shown now as a png."""
        figure = pictures.overview(self.answer, self.image)
        return _png(plots.paletted(figure, COLOURS))

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """The widgets for a live notebook; a picture and a sentence for whatever cannot show them."""
        bundle = dict(self.view._repr_mimebundle_(**options) or {})
        encoded = base64.b64encode(self.picture()).decode()
        return bundle | {"image/png": encoded, "text/plain": f"Explorer, {self.answer.summary()}"}

    def _arrange(self) -> widgets.VBox:
        choose = widgets.HBox([self.benchmark, self.encoder, self.upload], layout={"flex_flow": "row wrap"})
        how = widgets.HBox([self.level, self.index], layout={"flex_flow": "row wrap"})
        turn = widgets.HBox([self.back, self.pages, self.forward])
        table = widgets.Box([self.table], layout={"max_height": "230px", "overflow": "auto", "min_width": "310px"})
        detail = widgets.HBox([self.heat, table], layout={"flex_flow": "row wrap"})
        return widgets.VBox([choose, how, turn, self.queries, self.status, self.results, detail, self.log])

    def _connect(self) -> None:
        for control in (self.benchmark, self.encoder, self.level, self.index):
            control.observe(self._on_choice, "value")
        self.upload.observe(self._on_upload, "value")
        self.back.on_click(partial(self._on_turn, -1))
        self.forward.on_click(partial(self._on_turn, 1))

    def _on_choice(self, change: Any) -> None:
        if not self._settled:
            return
        question = self._question
        if change["owner"] is self.benchmark:  # its queries are others
            question = partial(self._of_benchmark, 0)
        self._ask(question, first_page=change["owner"] is self.benchmark)

    def _on_upload(self, change: Any) -> None:
        for file in change["new"]:
            self._ask(partial(self._of_photo, bytes(file["content"]), str(file["name"])))

    def _on_turn(self, step: int, _: widgets.Button) -> None:
        pages = -(-len(self.answer.benchmark.queries) // PAGE)
        self.page = (self.page + step) % pages
        with self._working("reading queries"):
            self._show_queries()

    def _on_query(self, query: int, _: widgets.Button) -> None:
        self._ask(partial(self._of_benchmark, query))

    def _on_result(self, image: int, _: widgets.Button) -> None:
        with self._working("scoring patches"):
            self._inspect(image)

    def _of_benchmark(self, query: int, choice: Choice) -> Answer:
        return self.bench.ask(choice, query)

    def _of_photo(self, content: bytes, name: str, choice: Choice) -> Answer:
        return self.bench.ask_photo(choice, content, name)

    def _ask(self, question: Callable[[Choice], Answer], first_page: bool = False) -> None:
        """Put a question under the choice the controls show; where that fails, say why and go back to the last one."""
        choice = Choice(benchmark=self.benchmark.value, encoder=self.encoder.value, level=self.level.value,
                        index=self.index.value)  # fmt: skip
        with self._working(f"searching {choice.benchmark} (the first time, images are described and indexes built)"):
            answer = question(choice)
            self.choice, self._question = choice, question
            self._show(answer)
            if first_page:
                self.page = 0
                self._show_queries()

    @contextmanager
    def _working(self, what: str) -> Iterator[None]:
        self.log.outputs = ()
        self._say(f"{what} ...")
        with self.log:  # progress bars, and the traceback of a mistake of ours
            try:
                yield
                self._say(self.answer.summary())
            except (ValueError, OSError) as error:
                self._say(str(error), wrong=True)
            except Exception:
                self._say(f"{what} failed; the traceback is a bug report", wrong=True)
                raise
            finally:
                self._restore()

    def _restore(self) -> None:
        """Let the controls say what is shown."""
        self._settled = False
        self.benchmark.value, self.encoder.value = self.choice.benchmark, self.choice.encoder
        self.level.value, self.index.value = self.choice.level, self.choice.index
        self._settled = True

    def _say(self, text: str, wrong: bool = False) -> None:
        lines = html.escape(text).replace("\n", "<br>")
        colour = "; border-left: 4px solid #D55E00; padding-left: 6px" if wrong else ""
        self.status.value = (
            f'<div role="{"alert" if wrong else "status"}" style="line-height: 1.4{colour}">{lines}</div>'
        )

    def _show(self, answer: Answer) -> None:
        self.answer = answer
        first = answer.ranking.images[0, : examples.SHOWN].tolist()
        tiles = [Tile(pictures.thumbnail(answer.picture), "query", None)]
        for place, image in enumerate(first):
            small = pictures.result(answer, place)
            tiles.append(Tile(small, pictures.caption_of(answer, place), partial(self._on_result, image)))
        self.results.children = tiles
        self._inspect(first[0])
        self._say(answer.summary())

    def _inspect(self, image: int) -> None:
        """Show the scores of all patches of an image, as maps and as a table."""
        self.image, scores = image, self.answer.patches(image)
        self.heat.value = _png(plots.paletted(pictures.patches_of(self.answer, image), COLOURS))
        shown = scores[["patch", "score", "iou"]].sort_values("score", ascending=False, kind="stable")
        name = html.escape(str(self.answer.benchmark.images["image_id"].iloc[image]))
        rows = shown.to_html(index=False, float_format="{:.3f}".format, na_rep="no box", border=0, col_space=60)
        self.table.value = f'<div style="line-height: 1.3"><b>{name}</b>{rows}</div>'

    def _show_queries(self) -> None:
        data, first = self.answer.benchmark, self.page * PAGE
        rows = range(first, min(first + PAGE, len(data.queries)))
        self.pages.value = f"queries {rows.start + 1} to {rows.stop} of {len(data.queries)}"
        self.queries.children = [
            Tile(pictures.thumbnail(_query_picture(data, row), side=QUERY_SIDE), str(row + 1),
                  partial(self._on_query, row)) for row in rows
        ]  # fmt: skip


class Tile(widgets.VBox):
    """A picture to click on, with a line of text below; ``button`` lies over the picture, for mouse and keyboard."""

    def __init__(self, picture: Image.Image, text: str, click: Callable[[widgets.Button], None] | None) -> None:
        side = f"{picture.width}px"
        shown = widgets.Image(value=_png(picture), layout={"grid_area": "1 / 1", "width": side, "height": side})
        self.button = widgets.Button(tooltip=text, disabled=click is None, style={"button_color": "transparent"},
                                     layout={"grid_area": "1 / 1", "width": side, "height": side})  # fmt: skip
        if click is not None:
            self.button.on_click(click)
        stacked = widgets.GridBox([shown, self.button] if click else [shown])
        super().__init__([stacked, widgets.Label(text)], layout={"align_items": "center", "margin": "0 4px 0 0"})


def _query_picture(data: Benchmark, row: int) -> Image.Image:
    """A query, or grey where its image cannot be read: one bad file must not close the explorer."""
    try:
        return query_picture(data, row)
    except images.ImageError:
        return Image.new("RGB", (QUERY_SIDE, QUERY_SIDE), "grey")


def _png(picture: Image.Image) -> bytes:
    picture.save(content := io.BytesIO(), "PNG", optimize=True)
    return content.getvalue()
