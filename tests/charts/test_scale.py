"""Charts against the size of the database."""

import matplotlib.pyplot as plt
import pandas as pd

from patchlib.charts import scale


def test_panels_show_each_quantity_as_it_was_found() -> None:
    columns = ["images", "level", "method", "kind", "mAP", "low", "high", "GB", "ms"]
    rows = [
        (1000, "L3", "exact", "measured", 50, None, None, 1, 9),
        (2000, "L3", "exact", "measured", 45, None, None, 2, 18),
    ]
    rows += [
        (5000, "L3", "exact", "fitted", 40, 35, 45, None, None),
        (9000, "L3", "exact", "fitted", 38, 30, 46, None, None),
    ]
    rows += [
        (1000, "L3", "PQ", "measured", 48, None, None, 0.1, 1),
        (10**7, "L3", "PQ", "replicated", None, None, None, 9, 30),
    ]
    probes = pd.DataFrame({"level": "L3", "nprobe": [1, 8], "ms": [1.0, 3.0], "found": [50.0, 90.0]})
    _, axes = plt.subplots(2, 2)
    scale.panels(axes, pd.DataFrame(rows, columns=columns), probes, "m = 64, nprobe = 8")
    accuracy, memory, times, search = axes.flat
    drawn = {line.get_linestyle(): (line.get_marker(), line.get_xdata().tolist()) for line in accuracy.lines}
    assert drawn == {"-": ("o", [1000, 2000]), "--": ("o", [1000]), ":": ("x", [5000, 9000])}
    assert len(accuracy.collections) == 3 and not memory.collections
    assert sorted(line.get_marker() for line in times.lines) == ["o", "o", "s"]
    assert [ax.get_yscale() for ax in axes.flat] == ["linear", "log", "log", "linear"]
    assert all("m = 64" in ax.get_ylabel() for ax in (accuracy, memory, times)) and "m = 64" in search.get_xlabel()
    assert search.lines[0].get_ydata().tolist() == [50, 90]
    labels = [handle.get_label() for handle in scale.legend(["L0", "L3"])]
    assert labels[:2] == ["L0", "L3"] and "fit to at most 20,000 images" in labels[-1]
    plt.close("all")
