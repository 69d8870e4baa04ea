"""Charts of regions: cost, and what a strategy looks at."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from builders import benchmark_on_disk, feature_set

from patchlib import charts, search


def test_points_carry_their_names_and_regions() -> None:
    table = pd.DataFrame({"mean": [5.0, 9], "low": [4.0, 8], "high": [6.0, 10]}, ["one", "two"])
    ax = charts.regions.cost_points(plt.subplots()[1], [1, 30], table)
    assert ax.get_legend_handles_labels()[1] == ["one", "two"]
    assert [container.lines[0].get_xydata().tolist() for container in ax.containers] == [[[1, 5]], [[30, 9]]]


def test_an_image_beyond_a_cut_ranking_has_no_rank_and_no_winning_region(tmp_path: Path) -> None:
    data = benchmark_on_disk(tmp_path, n_images=2, n_queries=1)
    images = feature_set([[1.0, 0], [0, 1], [0.6, 0.8]], [1, 2], [[0.0, 1]])
    labels, boxes = [], []
    for depth in (2, 1):
        ranking = search.rank(np.array([[1.0, 0]], np.float32), images, depth)
        ax = charts.regions.regions_of_image(plt.subplots()[1], data, images, ranking, 0, 1)
        labels.append(ax.get_xlabel())
        boxes.append(len(ax.patches))
    assert labels == ["regions: 2, rank: 2", "regions: 2, rank: beyond 1"]
    assert boxes == [2 + 2 + 2, 2 + 2]  # truth with its edge, two regions, the winning one with its edge
