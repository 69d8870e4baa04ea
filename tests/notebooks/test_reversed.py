"""On data where patches hurt, no page says that they help: captions, claims and printed sentences follow the tables.

Every positive is the query's picture with a little noise, so the whole image finds it. A tile of another picture *is*
the query, exactly, so of all patches this one wins, and every query loses by patches.
"""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from patchlib.run import notebooks, runner

QUERIES, SIDE, TILES = 50, 48, 4
PAGES = ("00", "01", "03", "04", "06", "11")
# the paper's findings, in words that only a table may say
SAYS_THAT_PATCHES_HELP = re.compile(
    r"patches (help|win|gain|find more)|most (queries|encoders) gain|L3 (wins|finds)|global loses|pays off", re.I
)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reversed")
    rng = np.random.default_rng(0)
    for name in ("queries", "database"):
        (folder / "world" / name).mkdir(parents=True)
    boxes = []
    for number in range(QUERIES):
        query = _texture(rng)
        _save(folder, f"queries/q{number:02d}.png", query)
        noisy = np.where(rng.random((SIDE, SIDE, 1)) < 0.1, 128, query).astype(np.uint8)
        _save(folder, f"database/q{number:02d}__positive.png", noisy)
        boxes.append(f"database/q{number:02d}__positive.png,0,0,{SIDE},{SIDE}")
        tiles = [_texture(rng) for _ in range(TILES * TILES)]
        tiles[int(rng.integers(len(tiles)))] = query
        rows = [np.hstack(tiles[start : start + TILES]) for start in range(0, len(tiles), TILES)]
        _save(folder, f"database/other{number:02d}.png", np.vstack(rows))
    (folder / "world/boxes.csv").write_text("image,x0,y0,x1,y1\n" + "\n".join(boxes) + "\n")
    (folder / "alone.yaml").write_text("extends: builtin\nencoders: [colour-histogram]\nworlds: 0\nresamples: 200\n")
    overrides = {"benchmark": f"folder:{folder / 'world'}", "encoder": "colour-histogram"}
    run = runner.Run(profile=str(folder / "alone.yaml"), overrides=overrides, only=PAGES, out=folder / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATCHLIB_CACHE", str(folder / "cache"))
        assert runner.reproduce(run) == 0
    return folder / "out"


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Four flat colours in random proportions: (SIDE, SIDE, 3) uint8."""
    colours = rng.integers(0, 8, (4, 3)) * 32 + 16
    return colours[rng.choice(4, (SIDE, SIDE), p=rng.dirichlet(np.ones(4)))].astype(np.uint8)


def _save(folder: Path, name: str, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(folder / "world" / name)


def _caption(out: Path, figure: str) -> str:
    return json.loads((out / "figures" / f"{figure}.json").read_text(encoding="utf-8"))["caption"]


def test_the_world_is_reversed(out: Path) -> None:
    claims = pd.read_csv(out / "figures/table_claims_levels.csv", index_col="claim")
    assert claims.loc[["mAP: L3 above L0", "LocScore: L3 above L0"], "holds"].tolist() == ["no", "no"]


def test_captions_say_what_the_tables_say(out: Path) -> None:
    levels = pd.read_csv(out / "figures/table_levels.csv", index_col="level")["mAP"]
    told = f"From L0 to L3 mAP goes from {levels['L0']:.1f} to {levels['L3']:.1f} %"
    assert levels["L3"] < levels["L0"] and _caption(out, "fig_levels").startswith(told)
    gain, lose = map(int, re.findall(r"(?:gain from patches|lose): (\d+)", _caption(out, "fig_level_gains")))
    assert gain == 0 < lose
    assert _caption(out, "fig_s2_backbones").startswith("0 of 1 encoders gain")


def test_no_sentence_denies_its_table(out: Path) -> None:
    for page in sorted((out / "notebooks").glob("*.ipynb")):
        cells = notebooks.read(page).cells
        bold = [
            part for cell in cells if cell.cell_type == "markdown" for part in re.findall(r"\*\*(.+?)\*\*", cell.source)
        ]
        printed = [
            output["text"]
            for cell in cells
            if cell.cell_type == "code"
            for output in cell.outputs
            if output["output_type"] == "stream" and output["name"] == "stdout"
        ]
        assert not [text for text in (*bold, *printed) if SAYS_THAT_PATCHES_HELP.search(text) and "?" not in text], page
    for record in sorted((out / "figures").glob("fig_*.json")):
        assert not SAYS_THAT_PATCHES_HELP.search(_caption(out, record.stem)), record.name
