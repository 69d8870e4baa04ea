import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

import patchlib
from patchlib import encoders
from patchlib.__main__ import _parser, main
from patchlib.run import runner


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"patchlib {patchlib.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [([], "COMMAND"), (["reproduce", "--help"], "--only 03 08"), (["data", "get", "--help"], "data get instre --from")],
)
def test_help_is_shown_with_examples(arguments: list[str], shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0 and shown in capsys.readouterr().out


def test_every_help_has_an_example() -> None:
    def helps(parser: argparse.ArgumentParser) -> Iterator[str]:
        if parser.add_help:  # what hands everything on has none of its own
            yield parser.format_help()
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for under in action.choices.values():
                    yield from helps(under)

    assert not [text for text in helps(_parser()) if "example" not in text]


def test_encoders_are_listed_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encoders"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "dim", "input", "family", "pretraining", "model"]
    assert [row.split()[0] for row in rows] == encoders.names()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reprodce"], "invalid choice: 'reprodce'"),
        (["reproduce", "--profil", "paper"], "unrecognized arguments: --profil"),
        (["reproduce", "--profile", "papr"], "unknown profile 'papr'; did you mean paper"),
        (["reproduce", "--set", "encoder"], "got 'encoder', expected KEY=VALUE"),
        (["reproduce", "--set", "encoder=["], "is not valid YAML"),
        (["reproduce", "--set", "profile=paper"], "chosen with --profile"),
        (["reproduce", "--workers", "two"], "invalid int value: 'two'"),
        (["reproduce", "--in-place", "--out", "x"], "--in-place takes no"),
        (["reproduce", "--set", "benchmark=folder:absent"], "absent is not a folder"),
        (["reproduce", "--set", "benchmark=folder:notebooks"], "notebooks/queries is not a folder; expected queries/"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("patchlib: ") and message in err and err.count("\n") == 1


def test_traceback_shows_where_a_mistake_arose() -> None:
    with pytest.raises(ValueError, match="unknown profile"):
        main(["--traceback", "reproduce", "--profile", "papr"])


def test_arguments_of_reproduce_reach_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(runner, "reproduce", lambda run, dry_run: seen.append((run, dry_run)) or 1)
    line = (
        "reproduce --profile paper --only 03 A1 --out o --set encoder=VGG16 --set levels=[0,3] --workers 2 --skip-bad"
    )
    assert main([*line.split(), "--dry-run"]) == 1
    overrides = {"encoder": "VGG16", "levels": [0, 3], "workers": 2, "skip_bad": True}
    assert seen == [
        (runner.Run(profile="paper", only=["03", "A1"], out=Path("o"), overrides=overrides), True),
    ]


def test_an_interruption_says_that_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(run: runner.Run, dry_run: bool) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "reproduce", interrupted)
    assert main(["reproduce"]) == 130
    assert "interrupted" in capsys.readouterr().err
