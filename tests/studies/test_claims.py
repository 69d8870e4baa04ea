"""Claims are positive where the paper is right; verdicts follow the interval."""

import numpy as np
import pandas as pd
import pytest

from patchlib import studies
from patchlib.studies import attributes


def _tables(whole: list[float], local: list[float]) -> tuple[dict[str, pd.DataFrame], attributes.Bins]:
    columns = {"bin": range(len(whole)), "query_id": "q"}
    tables = {"global": pd.DataFrame(columns | {"ap": whole}), "Patchify": pd.DataFrame(columns | {"ap": local})}
    return tables, attributes.Bins(tuple("abc"), pd.DataFrame({"bin": range(len(whole))}))


def test_claims_are_positive_where_the_paper_is_right() -> None:
    tables, groups = _tables([0.1, 0.2, 0.9], [0.3, 0.5, 0.6])
    small, large = (values.tolist() for values in studies.claims_by_bin("x", "size", tables, groups).values())
    assert small == pytest.approx([(20 + 30) / 2]) and large == pytest.approx([30])
    (steadier,) = studies.claims_by_bin("x", "distance", tables, groups).values()
    assert steadier.tolist() == pytest.approx([(10 - 90) - (30 - 60)])
    (fitting,) = studies.claims_by_bin("x", "alignment", tables, groups).values()
    assert fitting.tolist() == pytest.approx([(60 - 90) - (30 - 10)])
    dark, bright, least = (v.tolist() for v in studies.claims_by_bin("x", "brightness", tables, groups).values())
    assert (dark, bright, least) == (pytest.approx([20]), pytest.approx([-10]), pytest.approx([-30]))


def test_verdicts_follow_the_interval() -> None:
    table = studies.verdicts({"up": [1, 2, 3], "down": [-1, -2, -3], "both": [-9, 10, 0], "none": [np.nan]}, 200)
    assert table["holds"].tolist() == ["yes", "no", "open", "not measured"]
    assert table["evidence"].tolist()[:3] == pytest.approx([2, -2, 1 / 3])
    assert table["queries"].tolist() == [3, 3, 3, 0]
