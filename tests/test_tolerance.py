"""What passes as the same output of a notebook, and what does not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tolerance
from nbformat import v4

pytest_plugins = "pytester"


@pytest.mark.parametrize(
    ("new", "committed", "slack", "same"),
    [
        ("mAP 44.3", "mAP 44.1", 0, True),
        ("mAP 44.4", "mAP 44.1", 0, False),
        ("mAP 45.6", "mAP 44.1", 1.5, True),
        ("mAP 45.7", "mAP 44.1", 1.5, False),
        ("<td>0.125</td>", "<td>0.123</td>", 0, True),
        ("<td>0.126</td>", "<td>0.123</td>", 0, False),
        ("-0.1 points", "+0.0 points", 0, True),
        ("−0.2 points", "0.1 points", 0, False),
        ("holds: open", "holds: yes", 1.5, True),
        ("holds: open", "holds: yes", 0, False),
        ("holds: no", "holds: yes", 1.5, False),
        ("holds: open", "holds: 1.0", 1.5, False),
        ("4 of 5", "5 of 5", 1.5, False),
        ("12.0 gained", "12.0 lost", 1.5, False),
        ("12.0", "12", 1.5, False),
        ("a  9.9\n------", "a 10.0\n-------", 0, True),
        ("nan", "44.1", 1.5, False),
    ],
)
def test_text(new: str, committed: str, slack: float, same: bool) -> None:
    assert (tolerance.settle_text(new, committed, slack) == committed) is same


def test_what_disagrees_stays_visible() -> None:
    assert tolerance.settle_text("A 1.2, B 2.9, C 3.0", "A 1.0, B 2.0, C 3.0", 0) == "A 1.0, B 2.9, C 3.0"


def test_outputs_of_every_kind_and_number() -> None:
    def outputs(value: str) -> list:
        table = v4.new_output("display_data", {"text/plain": value, "text/html": f"<b>{value}</b>", "image/png": value})
        return [v4.new_output("stream", text=value), table, v4.new_output("stream", text=value, name="stderr")]

    settled = tolerance.settle(outputs("7.2"), outputs("7.0")[:2], 0)
    assert [settled[0].text, settled[2].text] == ["7.0", "7.2"]
    assert settled[1].data == {"text/plain": "7.0", "text/html": "<b>7.0</b>", "image/png": "7.2"}


@pytest.mark.parametrize(("tags", "expected"), [([], 0), (["parameters"], 0), (["tolerance=1.5", "tolerance=2"], 2)])
def test_tolerance_of_a_cell(tags: list[str], expected: float) -> None:
    assert tolerance.allowed(tags) == expected


@pytest.fixture
def page(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Write a page of (source, printed, *tags) cells as it was committed, and test it as ``make test`` does."""
    monkeypatch.setenv("PATCHLIB_CACHE", str(pytester.path / "cache"))
    monkeypatch.setenv("PATCHLIB_DATA", str(pytester.path / "data"))
    tests = Path(__file__).parent
    pytester.makeconftest((tests.parent / "notebooks" / "conftest.py").read_text())

    def test(*cells: tuple[str, ...]) -> pytest.RunResult:
        written = [
            v4.new_code_cell(
                source,
                execution_count=1,
                outputs=[v4.new_output("stream", text=f"{printed}\n")],
                metadata={"tags": tags},
                id=f"cell-{number}",
            )
            for number, (source, printed, *tags) in enumerate(cells)
        ]
        (pytester.path / "00_numbers.ipynb").write_text(v4.writes(v4.new_notebook(cells=written)))
        options = ("--nbval", "--nbval-current-env", "-o", f"pythonpath={tests}", "-v")
        return pytester.runpytest_subprocess("00_numbers.ipynb", *options)

    return test


def test_cells_of_a_notebook(page: Callable[..., pytest.RunResult]) -> None:
    result = page(("print(4.1)", "4.0"), ("print(5.0)", "4.0"), ("print(5.0)", "4.0", "tolerance=1.5"))
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*Cell 0 PASSED*", "*Cell 1 FAILED*", "*Cell 2 PASSED*"])


def test_what_passed_is_compared_again_but_not_executed(
    page: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    ran = pytester.path / "ran"
    count = f"_ = open({str(ran)!r}, 'a').write('x')"
    page((f"{count}; print(4.1)", "9.0"), ("print('b')", "b")).assert_outcomes(passed=1, failed=1)  # is not kept
    for times, (committed, failed) in enumerate([("4.0", 0), ("4.0", 0), ("9.0", 1)]):
        result = page((f"{count}; print(4.1)", committed), ("print('b')", "b"))
        result.assert_outcomes(passed=2 - failed, failed=failed)
        assert ran.read_text() == "xx", times
    page((f"{count}; print(4.1) ", "4.0"), ("print('b')", "b")).assert_outcomes(passed=2)
    assert ran.read_text() == "xxx"
