"""Checks pass the solutions, refuse stubs, and name what is wrong with plausible mistakes."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from patchlib import boxes as box_ops
from patchlib import metrics, regions
from patchlib.course import check, student
from patchlib.course.verdict import Failed, NotYet, Passed
from patchlib.run import notebooks

WRONG: dict[str, dict[str, Callable[..., Any]]] = {}


def definitions(path: Path, stubs: bool = False) -> dict[str, Any]:
    """What a notebook imports and defines, its functions as solutions or as stubs; none of its data is loaded."""
    notebook = notebooks.read(path)
    cells = (student.version(notebook) if stubs else notebook).cells
    names: dict[str, Any] = {}
    for cell in cells:
        if cell.cell_type == "code":
            body = [
                n for n in ast.parse(cell.source).body if isinstance(n, ast.Import | ast.ImportFrom | ast.FunctionDef)
            ]
            exec(compile(ast.Module(body, []), path.name, "exec"), names)
    return names


def exercises(path: Path) -> list[str]:
    """Names of the functions that its solution cells define."""
    cells = [cell for cell in notebooks.read(path).cells if student.SOLUTION in cell.metadata.get("tags", [])]
    return [node.name for cell in cells for node in ast.parse(cell.source).body if isinstance(node, ast.FunctionDef)]


FUNCTIONS = [(path, name) for path in student.sources() for name in exercises(path)]


@pytest.mark.parametrize(("path", "name"), FUNCTIONS, ids=lambda value: getattr(value, "stem", value))
def test_solutions_pass_and_stubs_do_not(path: Path, name: str) -> None:
    passed = getattr(check, name)(definitions(path)[name])
    assert repr(passed).startswith(f"✓ {name}: ") and "✓" in passed._repr_html_()
    stub = definitions(path, stubs=True)[name]
    with pytest.raises(NotYet, match=f"^{name} is not written yet"):
        getattr(check, name)(stub)


def mistake(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def keep(wrong: Callable[..., Any]) -> Callable[..., Any]:
        WRONG.setdefault(name, {})[wrong.__name__] = wrong
        return wrong

    return keep


@mistake("patch_boxes")
def widths_in_the_place_of_borders(width: int, height: int, level: int) -> Any:
    cells = [(g, r, c) for g in range(1, level + 2) for r in range(g) for c in range(g)]
    return np.array([(c * (width // g), r * (height // g), (c + 1) * (width // g), (r + 1) * (height // g))
                     for g, r, c in cells])  # fmt: skip


@mistake("patch_boxes")
def the_finest_grid_alone(width: int, height: int, level: int) -> Any:
    return regions.grid(width, height, level)[-((level + 1) ** 2) :]


@mistake("patch_boxes")
def columns_before_rows(width: int, height: int, level: int) -> Any:
    return regions.grid(height, width, level)[:, [1, 0, 3, 2]]


@mistake("patch_boxes")
def the_last_pixel_is_left_out(width: int, height: int, level: int) -> Any:
    return regions.grid(width, height, level) - [0, 0, 1, 1]


def _resized(part: Any, side: int, antialias: bool = True) -> Any:
    tensor = torch.from_numpy(part.copy()).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(tensor, (side, side), mode="bicubic", antialias=antialias)
    return small[0].permute(1, 2, 0).numpy()


@mistake("crop")
def x_and_y_exchanged(pixels: Any, box: Any, side: int) -> Any:
    x0, y0, x1, y1 = box.astype(int)
    part = pixels[x0:x1, y0:y1]
    return _resized(part, side)


@mistake("crop")
def not_antialiased(pixels: Any, box: Any, side: int) -> Any:
    x0, y0, x1, y1 = box.astype(int)
    return _resized(pixels[y0:y1, x0:x1], side, antialias=False)


@mistake("crop")
def floats_between_0_and_1(pixels: Any, box: Any, side: int) -> Any:
    x0, y0, x1, y1 = box.astype(int)
    return _resized(pixels[y0:y1, x0:x1], side) / 255


@mistake("normalise")
def channels_last(crops: Any, mean: Any, std: Any) -> Any:
    return (torch.from_numpy(crops).float() / 255 - torch.tensor(mean)) / torch.tensor(std)


@mistake("normalise")
def not_divided_by_255(crops: Any, mean: Any, std: Any) -> Any:
    return channels_last(crops * 1.0 * 255, mean, std).permute(0, 3, 1, 2)


@mistake("normalise")
def one_mean_for_all(crops: Any, mean: Any, std: Any) -> Any:
    return torch.from_numpy((crops / 255 - np.mean(mean)) / np.mean(std)).permute(0, 3, 1, 2)


@mistake("encode")
def not_of_length_one(inputs: Any, model: Any) -> Any:
    return model(inputs).numpy()


@mistake("encode")
def the_whole_array_of_length_one(inputs: Any, model: Any) -> Any:
    return (model(inputs) / model(inputs).norm()).numpy()


@mistake("encode")
def columns_of_length_one(inputs: Any, model: Any) -> Any:
    return torch.nn.functional.normalize(model(inputs), dim=0).numpy()


@mistake("best_patches")
def mean_in_the_place_of_the_maximum(query: Any, descriptors: Any) -> Any:
    cosines = descriptors @ query
    return cosines.mean(axis=1), cosines.argmax(axis=1)


@mistake("best_patches")
def starts_from_zero(query: Any, descriptors: Any) -> Any:
    cosines = descriptors @ query
    return np.maximum(cosines.max(axis=1), 0), cosines.argmax(axis=1)


@mistake("best_patches")
def patches_counted_over_all_images(query: Any, descriptors: Any) -> Any:
    cosines = descriptors @ query
    return cosines.max(axis=1), cosines.argmax(axis=1) + np.arange(len(cosines)) * cosines.shape[1]


WRONG["rank"] = {
    "worst_first": lambda scores: np.argsort(scores, kind="stable"),
    "ties_turned_round": lambda scores: np.argsort(scores, kind="stable")[::-1],
    "ranks_in_the_place_of_images": lambda scores: np.argsort(np.argsort(-scores, kind="stable"), kind="stable"),
}


def _precisions(relevant: Any, first: int = 1) -> Any:
    ranks = np.flatnonzero(relevant) + first
    return np.arange(1, len(ranks) + 1) / np.maximum(ranks, 1)


WRONG["average_precision"] = {
    "divided_by_the_positives_found": lambda r, n: _precisions(r).sum() / max(r.sum(), 1),
    "ranks_from_0": lambda r, n: _precisions(r, 0).sum() / n,
    "precision_everywhere": lambda r, n: (np.cumsum(r) / np.arange(1, len(r) + 1)).mean(),
    "trapezoids": lambda r, n: float(metrics.average_precision_trapezoidal(r, n)),
}


@mistake("iou")
def distant_boxes_meet(a: Any, b: Any) -> Any:
    both = np.prod(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]))
    return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)


@mistake("iou")
def intersection_counted_twice(a: Any, b: Any) -> Any:
    overlap = box_ops.iou(a, b)[0, 0]
    return overlap / (1 + overlap)  # both / (|a| + |b|)


@mistake("iou")
def share_of_the_smaller_box(a: Any, b: Any) -> Any:
    both = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return both / min(box_ops.area(a)[0], box_ops.area(b)[0])


@mistake("iou")
def inclusive_pixels(a: Any, b: Any) -> Any:
    return box_ops.iou(a + [0, 0, 1, 1], b + [0, 0, 1, 1])[0, 0]


WRONG["loc_score"] = {
    "mean_iou_times_ap": lambda r, o, n: o[r].sum() / max(r.sum(), 1) * _precisions(r).sum() / n,
    "no_precision": lambda r, o, n: o[r].sum() / n,
    "iou_in_order_of_the_list": lambda r, o, n: (_precisions(r) * o[: r.sum()]).sum() / n,
    "divided_by_the_positives_found": lambda r, o, n: (_precisions(r) * o[r]).sum() / max(r.sum(), 1),
}


def _interval(values: Any, means: Any) -> tuple[float, float, float]:
    return (values.mean(), *np.quantile(means, [0.025, 0.975]))


@mistake("paired_interval")
def unpaired(less: Any, more: Any, resamples: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    one, two = (rng.integers(0, len(less), (resamples, len(less))) for _ in range(2))
    return _interval(more - less, more[one].mean(axis=1) - less[two].mean(axis=1))


@mistake("paired_interval")
def quantiles_of_the_differences(less: Any, more: Any, resamples: int, seed: int) -> Any:
    return _interval(more - less, more - less)


@mistake("paired_interval")
def without_replacement(less: Any, more: Any, resamples: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return _interval(more - less, np.array([rng.permutation(more - less).mean() for _ in range(resamples)]))


@mistake("paired_interval")
def ninety_percent(less: Any, more: Any, resamples: int, seed: int) -> Any:
    drawn = np.random.default_rng(seed).integers(0, len(less), (resamples, len(less)))
    return ((more - less).mean(), *np.quantile((more - less)[drawn].mean(axis=1), [0.05, 0.95]))


def _shares(box: Any, patches: Any, least: float = 0) -> Any:
    both = np.prod(np.maximum(np.minimum(box[2:], patches[:, 2:]) - np.maximum(box[:2], patches[:, :2]), least), axis=1)
    return both / box_ops.area(box), both / box_ops.area(patches)


WRONG["shares"] = {
    "exchanged": lambda box, patches: _shares(box, patches)[::-1],
    "not_cut_at_zero": lambda box, patches: _shares(box, patches, -np.inf),
    "sides_in_the_place_of_areas": lambda box, patches: tuple(np.sqrt(share) for share in _shares(box, patches)),
}
WRONG["expected_winner"] = {
    "the_most_of_the_object": lambda box, patches: _shares(box, patches)[0].argmax(),
    "the_most_filled": lambda box, patches: _shares(box, patches)[1].argmax(),
    "the_last_of_equal_ones": lambda box, patches: len(patches) - 1 - box_ops.iou(box, patches)[0][::-1].argmax(),
}
WRONG["share_beaten"] = {
    "equal_ones_are_beaten": lambda score, wrong: np.mean(wrong <= score),
    "the_other_way_round": lambda score, wrong: np.mean(wrong > score) + np.mean(wrong == score) / 2,
    "a_count": lambda score, wrong: np.sum(wrong < score) + np.sum(wrong == score) / 2,
}
WRONG["difference_within"] = {
    "strata_forgotten": lambda v, g, s: v[g].mean() - v[~g].mean(),
    "rest_minus_group": lambda v, g, s: -check_difference(v, g, s),
    "strata_weighted_by_their_size": lambda v, g, s: np.average(
        [v[(s == one) & g].mean() - v[(s == one) & ~g].mean() if len(set(g[s == one])) == 2 else 0 for one in set(s)],
        weights=[sum(s == one) for one in set(s)],
    ),
}


def check_difference(values: Any, group: Any, stratum: Any) -> float:
    both = [s for s in set(stratum) if len(set(group[stratum == s])) == 2]
    return float(
        np.mean([values[(stratum == s) & group].mean() - values[(stratum == s) & ~group].mean() for s in both])
    )


def _parts(vectors: Any, m: int) -> list[Any]:
    return np.split(np.atleast_2d(vectors), m, axis=1)


def _squared(a: Any, b: Any) -> Any:
    return ((a[:, None] - b) ** 2).sum(axis=2)


WRONG["codebooks"] = {
    "never_moved": lambda vectors, m, k: np.stack([part[:k] for part in _parts(vectors, m)]),
    "one_codebook_for_all_parts": lambda vectors, m, k: np.stack([_parts(vectors, m)[0][:k]] * m),
    "parts_and_centroids_exchanged": lambda vectors, m, k: np.stack([p[:k] for p in _parts(vectors, m)], axis=1),
}
WRONG["pq_encode"] = {
    "codes_of_the_wrong_part": lambda v, books: np.stack(
        [
            _squared(part, book).argmin(axis=1)
            for part, book in zip(_parts(v, len(books)), np.roll(books, 1, 0), strict=True)
        ],
        axis=1,
    ).astype(np.uint8),
    "the_largest_product": lambda v, books: np.stack(
        [(part @ book.T).argmax(axis=1) for part, book in zip(_parts(v, len(books)), books, strict=True)], axis=1
    ).astype(np.uint8),
    "eight_bytes_for_each_code": lambda v, books: np.stack(
        [_squared(part, book).argmin(axis=1) for part, book in zip(_parts(v, len(books)), books, strict=True)], axis=1
    ),
}


def _tables(query: Any, books: Any) -> list[Any]:
    return [_squared(part, book)[0] for part, book in zip(_parts(query, len(books)), books, strict=True)]


WRONG["distances"] = {
    "tables_of_the_wrong_part": lambda q, codes, books: sum(
        table[codes[:, j]] for j, table in enumerate(_tables(q, np.roll(books, 1, 0)))
    ),
    "not_squared": lambda q, codes, books: np.sqrt(sum(t[codes[:, j]] for j, t in enumerate(_tables(q, books)))),
    "symmetric": lambda q, codes, books: sum(
        _squared(book[[table.argmin()]], book)[0][codes[:, j]]
        for j, (table, book) in enumerate(zip(_tables(q, books), books, strict=True))
    ),
}
WRONG["bytes_needed"] = {
    "codebooks_forgotten": lambda n, dim, m, k: n * m,
    "bits_are_bytes": lambda n, dim, m, k: n * m * int(np.log2(k)) + 4 * k * dim,
    "a_codebook_of_whole_vectors_each": lambda n, dim, m, k: n * m * int(np.log2(k)) // 8 + 4 * m * k * dim,
}
WRONG["failure"] = {
    "ranks_from_0": lambda rank, overlap: "late" if rank >= 5 else "found" if overlap >= 0.3 else "wrong place",
    "the_box_comes_first": lambda rank, overlap: "wrong place" if overlap < 0.3 else "found" if rank < 6 else "late",
    "more_than_a_third": lambda rank, overlap: "late" if rank > 5 else "found" if overlap > 0.3 else "wrong place",
}
WRONG["cheapest"] = {
    "the_best": lambda cost, low, high: int((low + high).argmax()),
    "the_cheapest_of_all": lambda cost, low, high: int(cost.argmin()),
    "row_among_those_kept": lambda cost, low, high: int(cost[high >= 0].argmin()),
}


def test_every_check_has_three_mistakes() -> None:
    assert {name for _, name in FUNCTIONS} == set(WRONG)
    assert all(len(mistakes) >= 3 for mistakes in WRONG.values())


@pytest.mark.parametrize(("name", "wrong"), [(name, wrong) for name in WRONG for wrong in WRONG[name]])
def test_mistakes_are_named_with_what_came_and_what_was_expected(name: str, wrong: str) -> None:
    with pytest.raises(Failed) as caught:
        getattr(check, name)(WRONG[name][wrong])
    said = str(caught.value)
    assert not isinstance(caught.value, NotYet)
    assert said.startswith(f"{name}(") and "came back" in said and "expected" in said
    assert len(said) < 300 and "Traceback" not in said


def test_an_exception_is_told_with_its_line() -> None:
    def iou(a: Any, b: Any) -> Any:
        return a[7] / b[7]

    with pytest.raises(Failed, match=r"^iou\(.*case 1 of 7: IndexError in its line `return a\[7\] / b\[7\]`"):
        check.iou(iou)


def test_notebooks_show_one_red_line() -> None:
    with pytest.raises(Failed) as caught:
        check.rank(lambda scores: scores)
    (line,) = caught.value._render_traceback_()
    assert line.startswith("\x1b[31;1m✗ rank(") and line.endswith("\x1b[0m")


def test_arguments_cannot_be_spoilt() -> None:
    def rank(scores: Any) -> Any:
        order = np.argsort(-scores, kind="stable")
        scores[:] = 0
        return order

    assert isinstance(check.rank(rank), Passed)


def test_predictions_are_noted_whether_right_or_not() -> None:
    assert repr(check.prediction("2x2", ["2x2", "3x3"])) == "✓ noted: 2x2"
    with pytest.raises(NotYet, match="your prediction is not written yet"):
        check.prediction(..., ["2x2"])
    with pytest.raises(Failed, match="is '5x5', expected one of '2x2', '3x3'"):
        check.prediction("5x5", ["2x2", "3x3"])


def test_evidence_needs_three_sentences_a_number_and_its_interval() -> None:
    table = pd.DataFrame({"mean": [9.23], "low": [6.4], "high": [12.0]})
    good = "I take L3. It gains 9.2 points, interval 6.4 to 12.0, on 31 queries. It holds for small objects."
    assert isinstance(check.evidence(good, table), Passed)
    for spoilt, said in (
        (good.replace(". It holds", ", which holds"), "2 sentence"),
        (good.replace("9.2", "9.7").replace("6.4 to 12.0", "wide"), "no number of the table"),
        (good.replace(", interval 6.4 to 12.0,", ""), "how sure"),
    ):
        with pytest.raises(Failed, match=said):
            check.evidence(spoilt, table)
    with pytest.raises(NotYet):
        check.evidence(..., table)
