import dataclasses
from pathlib import Path

import pytest

from patchlib import benchmarks, encoders, profiles, session
from patchlib.support import machine

COMPLETE = """
benchmarks: {folder: {}, grocery: {classes: all}}
encoder: colour-histogram
encoders: [colour-histogram]
levels: [0, 3]
device: cpu
batch: 2
dtype: float32
k: 5
resamples: 10
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A complete profile of somebody's own."""
    path = tmp_path / "mine.yaml"
    path.write_text(COMPLETE)
    return path


@pytest.mark.parametrize("name", ["builtin", "workshop", "paper", "mini-ilias"])
def test_shipped_profiles_name_what_exists(name: str) -> None:
    profile = profiles.load(name)
    assert profile.name == name
    assert {profile.benchmark, *profile.benchmarks} <= set(benchmarks.NAMES)
    assert {profile.encoder, *profile.encoders} <= set(encoders.names())
    assert profile.levels == (0, 1, 2, 3)


def test_builtin_needs_no_network_and_no_gpu() -> None:
    profile = profiles.load("builtin")
    assert (profile.benchmark, profile.device, profile.label) == ("procedural", "cpu", "built-in benchmark")
    assert all(encoders.spec(name).built_in for name in profile.encoders if name != "colour-histogram")


def test_workshop_needs_no_network_either() -> None:
    profile = profiles.load("workshop")
    assert (profile.benchmark, profile.device, profile.label) == ("photographs", "cpu", "photographs")
    shipped = [encoders.spec(name) for name in profile.encoders if name != "colour-histogram"]
    assert all(spec.built_in or spec.packaged for spec in shipped)


def test_paper_compares_the_encoders_of_the_paper() -> None:
    profile = profiles.load("paper")
    assert profile.benchmarks == ("instre", "ilias")
    assert len(profile.encoders) == 8 and profile.encoder in profile.encoders


def test_mini_ilias_has_the_five_million_distractors() -> None:
    profile = profiles.load("mini-ilias")
    assert profile.benchmark_options == {"distractors": "mini"}
    assert profile.label == "ILIAS (distractors=mini)"


def test_every_benchmark_has_a_title() -> None:
    assert set(session.TITLES) == set(benchmarks.NAMES)


def test_a_file_of_ones_own(own: Path) -> None:
    profile = profiles.load(str(own))
    assert (profile.name, profile.benchmark, profile.k, profile.levels) == ("mine", "folder", 5, (0, 3))
    assert profile.label == "own photographs"


def test_extends_takes_over_what_it_does_not_say(own: Path) -> None:
    other = own.with_name("other.yaml")
    other.write_text(f"extends: {own}\nbatch: 7\n")
    profile = profiles.load(str(other))
    assert profile == dataclasses.replace(profiles.load(str(own)), name="other", batch=7)


def test_overrides_win_and_none_leaves_the_profile(own: Path) -> None:
    profile = profiles.load(str(own), batch=3, workers=None, k=None, encoder=None)
    assert (profile.batch, profile.k, profile.encoder) == (3, 5, "colour-histogram")


def test_levels_ascend_and_come_once(own: Path) -> None:
    assert profiles.load(str(own), levels=[3, 0, 3, 1]).levels == (0, 1, 3)


def test_null_stands_for_the_default(own: Path) -> None:
    other = own.with_name("other.yaml")
    other.write_text(f"extends: {own}\nk: null\nworkers: null\nmatcher: null\npair: null\nskip_bad: null\n")
    profile = profiles.load(str(other))
    assert (profile.k, profile.workers, profile.skip_bad) == (None, machine.cores(), False)
    assert (profile.matcher, profile.pair) == ("built-in", ("colour-histogram",))


def test_another_benchmark_brings_its_own_options(own: Path) -> None:
    chosen = profiles.load(str(own), benchmark="grocery")
    assert chosen.benchmark_options == {"classes": "all"}
    assert chosen.label == "Grocery Store (classes=all)"
    assert profiles.load(str(own), benchmark="procedural").label == "built-in benchmark"


def test_a_benchmark_in_a_folder_of_ones_own(own: Path) -> None:
    profile = profiles.load(str(own), benchmark="folder:my photos/a:b")
    assert (profile.benchmark, profile.benchmark_options) == ("folder", {"root": "my photos/a:b"})
    assert "my photos" not in profile.label


def test_profiles_are_records(own: Path) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        profiles.load(str(own)).batch = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("workshp", {}, "unknown profile 'workshp'; did you mean workshop"),
        ("mine", {"encodr": "x"}, "unknown parameter 'encodr'; did you mean encoder"),
        ("mine", {"name": "x"}, "unknown parameter 'name'"),
        ("mine", {"encoder": "siglp"}, "unknown encoder 'siglp'; did you mean SigLIP"),
        ("mine", {"benchmark": "instr"}, "unknown benchmark 'instr'; did you mean instre"),
        ("mine", {"workers": 0}, "workers is 0, expected a whole number of at least 1"),
        ("mine", {"workers": True}, "workers is True, expected a whole number"),
        ("mine", {"batch": "many"}, "batch is 'many', expected a whole number"),
        ("mine", {"levels": [0, 4]}, r"levels is \[0, 4\], expected at least two levels of 0..3"),
        ("mine", {"levels": [3, 3]}, r"levels is \[3, 3\], expected at least two levels of 0..3"),
        ("mine", {"levels": [True, 0]}, r"levels is \[True, 0\], expected at least two levels of 0..3"),
        ("mine", {"encoders": "VGG16"}, "encoders is 'VGG16', expected a list"),
        ("mine", {"encoders": ["VGG16", "siglp"]}, "unknown encoder 'siglp'; did you mean SigLIP"),
        ("mine", {"pair": ["VGG16", "siglp"]}, "unknown encoder 'siglp'; did you mean SigLIP"),
        ("mine", {"dtype": "int8"}, "dtype is 'int8', expected float32 or float16"),
        ("mine", {"skip_bad": "yes"}, "skip_bad is 'yes', expected true or false"),
    ],
)
def test_mistakes_are_named(own: Path, name: str, overrides: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        profiles.load(str(own) if name == "mine" else name, **overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("- 1", "expected a mapping of settings"),
        ("benchmarks: [instre]", "expected a mapping of a benchmark's name to its options"),
        ("benchmarks: {instre: {}}", "lacks encoder, encoders, levels"),
        ("extends: bultin", "unknown profile 'bultin'; did you mean builtin"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        profiles.load(str(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent.yaml"):
        profiles.load(str(tmp_path / "absent.yaml"))


def test_skip_bad_reaches_the_loader_but_not_the_label() -> None:
    settings = profiles.load("workshop", benchmark="grocery", skip_bad=True)
    assert settings.benchmark_options == {"skip_bad": True}
    assert settings.extraction["skip_bad"] is True
    assert settings.label == "Grocery Store"
    assert profiles.load("builtin", skip_bad=True).benchmark_options == {}
