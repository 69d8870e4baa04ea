"""The chart of strengths starts at the paper's score and shows every encoder."""

import matplotlib.pyplot as plt
import pandas as pd

from patchlib import charts


def test_gain_by_strength() -> None:
    ax = plt.subplots()[1]
    gains = {
        "one": pd.DataFrame([[0.0, 0.0], [1.0, 3.0]], index=[0, 0.5]),
        "two": pd.DataFrame([[0.0, 0.0]], index=[0]),
    }
    charts.pooling.gain_by_strength(ax, gains, "weight", resamples=100)
    assert list(ax.lines[0].get_ydata()) == [0, 2] and [line.get_label() for line in ax.lines[:2]] == ["one", "two"]
    assert ax.get_xlabel() == "weight"
    plt.close("all")
