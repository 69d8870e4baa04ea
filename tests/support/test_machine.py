"""How long a call takes."""

from patchlib.support import machine


def test_time_of_a_query() -> None:
    calls = []
    assert 0 <= machine.milliseconds(lambda: calls.append(1), 10) < 1000
    assert len(calls) == 2
