"""How ``make test`` compares the notebooks with their committed outputs."""

from tolerance import pytest_itemcollected  # noqa: F401
