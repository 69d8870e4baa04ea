"""Revisited Oxford, see :mod:`patchlib.benchmarks.revisited`."""

from functools import partial

from patchlib.benchmarks import revisited

load = partial(revisited.load, "roxford5k")
