"""Charts of where the similarity lies."""

from matplotlib.figure import Figure
from PIL import Image

from patchlib import charts


def test_similarity_map_writes_every_cosine() -> None:
    ax = charts.heat_maps.grid(
        Figure().add_subplot(), Image.new("RGB", (8, 8)), [[0, 0, 4, 8], [4, 0, 8, 8]], [0.25, 0.75], (0, 1)
    )
    assert [text.get_text() for text in ax.texts] == ["0.25", "0.75"]
    assert [text.get_weight() for text in ax.texts] == ["normal", "bold"]
