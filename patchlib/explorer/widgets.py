"""Look into a ranking by clicking: choose what to search in and how, take a query, see which patches decided.

Everything that is computed is :mod:`patchlib.explorer.session`'s; here are the widgets. Where no kernel runs, the
explorer's output is the picture of its first state.
"""

import base64
import html
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure
from PIL import Image

from patchlib import images, plots, regions
from patchlib.explorer import pictures
from patchlib.explorer.session import INDEXES, Answer, SearchSession, Setup
from patchlib.studies import examples

PAGE = 10  # queries shown at a time
QUERY_SIDE = 90  # pixels
WRAP = {"flex_flow": "row wrap"}


class Explorer:
    """The widgets and what they show now.

    Attributes:
        session: what is asked.
        setup: benchmark, encoder, level and index of the answer.
        answer: what is shown.
        image: index of the image whose patches are shown.
        controls: benchmark, encoder, level and index to choose, by the fields of :class:`Setup`.
        upload, back, forward: more controls.
        queries, results: rows of clickable pictures; ``.children[i].button`` is the i-th one's button.
        status, heat, table, log: where text, the similarity map, the scores and progress appear.
        view: all of it.
    """

    def __init__(self, session: SearchSession, query: int = 0) -> None:
        """Search for a query of the default benchmark and show the answer."""
        self.session, self.setup = session, session.default
        levels, narrow = [(f"L{level}", level) for level in regions.LEVELS], {"button_width": "64px"}
        self.controls: dict[str, Any] = {
            "benchmark": widgets.Dropdown(options=list(session.runs), description="benchmark"),
            "encoder": widgets.Dropdown(options=session.encoders, description="encoder"),
            "level": widgets.ToggleButtons(options=levels, value=3, description="level", style=narrow),
            "index": widgets.ToggleButtons(options=INDEXES, description="index", style=narrow),
        }
        self.upload = widgets.FileUpload(accept="image/*", description="your photo", tooltip="search for a photo")
        self.back, self.forward = (widgets.Button(description=text, layout={"width": "40px"}) for text in "◀▶")
        self.pages, self.status, self.table = widgets.Label(), widgets.HTML(), widgets.HTML()
        self.queries = widgets.HBox(layout=WRAP)
        self.results = widgets.HBox(
            layout={**WRAP, "flex": "1 1 0", "min_width": "300px", "align_content": "flex-start"}
        )
        self.heat = widgets.Image(format="jpeg", layout={"width": "400px", "max_width": "100%"})
        self.log = widgets.Output()
        self.view = self._arrange()
        self._question: Callable[[Setup], Answer] = partial(session.ask, query=query)
        self._show(self._question(self.setup))
        self._turn_to(query // PAGE)
        self._connect()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """The widgets for a live notebook; a picture and a sentence for whatever cannot show them."""
        bundle = dict(self.view._repr_mimebundle_(**options) or {})
        picture = plots.jpeg(pictures.overview(self.answer, self.image))
        said = f"Explorer, {self.answer.summary()}"
        return bundle | {"image/jpeg": base64.b64encode(picture).decode(), "text/plain": said}

    def _arrange(self) -> widgets.VBox:
        benchmark, encoder, level, index = self.controls.values()
        table = widgets.Box([self.table], layout={"max_height": "230px", "overflow": "auto", "min_width": "310px"})
        what, how, pages = (
            widgets.HBox(row, layout=WRAP)
            for row in ([benchmark, encoder, self.upload], [level, index], [self.back, self.pages, self.forward])
        )
        scores = widgets.VBox([self.heat, table])  # beside the results: a click shows there what it asked for
        found = widgets.HBox([self.results, scores])
        return widgets.VBox([what, how, pages, self.queries, self.status, found, self.log])

    def _connect(self) -> None:
        for control in self.controls.values():
            control.observe(self._on_choice, "value")
        self.upload.observe(self._on_upload, "value")
        self.back.on_click(lambda _: self._on_turn(-1))
        self.forward.on_click(lambda _: self._on_turn(1))

    def _chosen(self) -> Setup:
        return Setup(**{name: control.value for name, control in self.controls.items()})

    def _on_choice(self, _: Any) -> None:
        if self._chosen().benchmark != self.setup.benchmark:  # its queries are others
            self._ask(partial(self.session.ask, query=0), page=0)
        elif self._chosen() != self.setup:
            self._ask(self._question)

    def _on_upload(self, change: Any) -> None:
        for file in change["new"]:
            self._ask(partial(self.session.ask_photo, content=bytes(file["content"]), name=str(file["name"])))

    def _on_turn(self, step: int) -> None:
        with self._working("reading queries"):
            self._turn_to((self.page + step) % -(-len(self.answer.benchmark.queries) // PAGE))

    def _on_query(self, query: int, _: widgets.Button) -> None:
        self._ask(partial(self.session.ask, query=query))

    def _on_result(self, image: int, _: widgets.Button) -> None:
        with self._working("scoring patches"):
            self._inspect(image)

    def _ask(self, question: Callable[[Setup], Answer], page: int | None = None) -> None:
        """Put a question under the setup the controls show; where that fails, say why and go back to the last one."""
        setup = self._chosen()
        with self._working(f"searching {setup.benchmark} (the first time, images are described and indexes built)"):
            answer = question(setup)
            self.setup, self._question = setup, question
            self._show(answer)
            if page is not None:
                self._turn_to(page)

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
            finally:  # the controls say what is shown
                for name, control in self.controls.items():
                    control.value = getattr(self.setup, name)

    def _say(self, text: str, wrong: bool = False) -> None:
        role, mark = ("alert", "; border-left: 4px solid #D55E00; padding-left: 6px") if wrong else ("status", "")
        lines = html.escape(text).replace("\n", "<br>")
        self.status.value = f'<div role="{role}" style="line-height: 1.4{mark}">{lines}</div>'

    def _show(self, answer: Answer) -> None:
        self.answer = answer
        first = answer.ranking.images[0, : examples.SHOWN].tolist()
        clicks = [partial(self._on_result, image) for image in first]
        tiles = [Tile(*pictures.result(answer, rank), click) for rank, click in enumerate(clicks)]
        self.results.children = [Tile(pictures.thumbnail(answer.picture), "query", None), *tiles]
        self._inspect(first[0])
        self._say(answer.summary())

    def _inspect(self, image: int) -> None:
        """Show the scores of all patches of an image, as maps and as a table."""
        self.image, figure = image, Figure(figsize=(4, 4), layout="constrained")
        pictures.draw_patches(figure, self.answer, image, rows=2)
        self.heat.value = plots.jpeg(figure)
        scores = self.answer.patches(image)[["patch", "score", "iou"]]
        scores = scores.sort_values("score", ascending=False, kind="stable")
        name = html.escape(str(self.answer.benchmark.images["image_id"].iloc[image]))
        rows = scores.to_html(index=False, float_format="{:.3f}".format, na_rep="no box", border=0, col_space=60)
        self.table.value = f'<div style="line-height: 1.3"><b>{name}</b>{rows}</div>'

    def _turn_to(self, page: int) -> None:
        total = len(self.answer.benchmark.queries)
        shown = range(total)[page * PAGE :][:PAGE]
        self.queries.children = [Tile(self._thumbnail(query), str(query + 1), partial(self._on_query, query))
                                 for query in shown]  # fmt: skip
        self.page, self.pages.value = page, f"queries {shown.start + 1} to {shown.stop} of {total}"

    def _thumbnail(self, query: int) -> Image.Image:
        """A query, or grey where its image cannot be read: one bad file must not close the explorer."""
        try:
            picture = plots.read_query(self.answer.benchmark, query)
        except images.ImageError:
            picture = Image.new("RGB", (QUERY_SIDE, QUERY_SIDE), "grey")
        return pictures.thumbnail(picture, side=QUERY_SIDE)


class Tile(widgets.VBox):
    """A picture to click on, with a line of text below; ``button`` lies over the picture, for mouse and keyboard."""

    def __init__(self, picture: Image.Image, text: str, click: Callable[[widgets.Button], None] | None) -> None:
        place = {"grid_area": "1 / 1", "width": f"{picture.width}px", "height": f"{picture.width}px"}
        shown = widgets.Image(value=plots.jpeg(picture), format="jpeg", layout=place)
        self.button = widgets.Button(tooltip=text, style={"button_color": "transparent"}, layout=place)
        if click is not None:
            self.button.on_click(click)
        stacked = widgets.GridBox([shown, self.button] if click else [shown])
        super().__init__([stacked, widgets.Label(text)], layout={"align_items": "center", "margin": "0 4px 0 0"})
