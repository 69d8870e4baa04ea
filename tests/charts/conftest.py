"""Charts are drawn without a screen, and closed after each test."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest

plt.switch_backend("Agg")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")
