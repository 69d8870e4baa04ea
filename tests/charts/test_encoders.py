"""Charts of encoders: colours by family, a curve an encoder, sizes of pretraining."""

import matplotlib.pyplot as plt
import pandas as pd

from patchlib import charts, plots


def test_families_have_their_own_colours() -> None:
    colours = charts.encoders.family_colours(["cnn-small", "vit-small", "cnn-small-40", "colour-histogram"])
    assert len({tuple(colour) for colour in colours.values()}) == 4
    # orange has more red than blue
    assert colours["cnn-small"][0] > colours["cnn-small"][2] and colours["vit-small"][2] > colours["vit-small"][0]


def test_every_encoder_is_a_curve_over_the_levels() -> None:
    index = pd.MultiIndex.from_product([["cnn-small", "vit-small"], ["L0", "L3"]], names=["encoder", "level"])
    ax = charts.encoders.level_curves(plt.subplots()[1], pd.DataFrame({"mAP": [10.0, 20, 30, 40]}, index), "mAP")
    charts.encoders.legend_below(ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["cnn-small", "vit-small"]
    assert [list(line.get_ydata()) for line in ax.lines if len(line.get_ydata())] == [[10, 20], [30, 40]]


def test_sizes_of_pretraining_ours_and_published() -> None:
    table = pd.DataFrame({"type": ["global", "local"] * 2, "model": "small", "size": [40, 40, 400, 400]}, ["a"] * 4)
    table = table.assign(mAP=[1.0, 2, 3, 4], low=0.5, high=5.0, mAP_ILIAS=[1.0, 2, 3, 4])
    ax = charts.encoders.pretraining(plt.subplots()[1], table)
    assert [container.lines[0].get_ydata().tolist() for container in ax.containers] == [[1, 3], [2, 4]]
    assert ax.get_legend_handles_labels()[1] == ["global", "local"] and [text.get_text() for text in ax.texts] == ["a"]
    assert not charts.encoders.pretraining(plt.subplots()[1], table.head(0)).containers
    ax = charts.encoders.published_pretraining(plt.subplots()[1], table)
    assert [list(line.get_ydata()) for line in ax.lines] == [[1, 3], [2, 4]]
    assert ax.lines[1].get_color() == plots.METHODS["Patchify"]
