"""Every number as a row: what the paper prints and what the notebooks' tables hold, for the site's page of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from patchlib.paper import published
from patchlib.support.items import Item

COLUMNS = ("whose", "item", "case", "quantity", "value", "link")


def rows(items: Mapping[str, Item]) -> list[list[Any]]:
    """All numbers, in the order of :data:`COLUMNS`.

    Args:
        items: address on the site -> figure or table; the numbers are read from the CSV files of tables.
    """
    made = [[*row, ""] for row in _published()]
    for address, item in items.items():
        if item.file("csv").exists():
            made += [["ours", item.name, *row, address] for row in _cells(pd.read_csv(item.file("csv")))]
    return made


def _published() -> Iterator[list[Any]]:
    for name in published.NUMBERS:
        for cell in published.cells(name).to_dict("records"):
            keys = {key: value for key, value in cell.items() if key not in ("metric", "printed", "value")}
            yield ["paper", name, _case(keys), cell["metric"], cell["printed"]]
    for cell in pd.read_csv(published.FOLDER / "numbers.csv", dtype=str).dropna(subset="value").to_dict("records"):
        keys = {key: cell[key] for key in ("case", "benchmark")}
        yield ["paper", cell["item"], _case(keys), cell["quantity"], cell["value"]]


def _cells(table: pd.DataFrame) -> Iterator[list[Any]]:
    """(case, quantity, value) of each number: columns of text, and those before the first decimals, name the case."""
    numeric = [*table.select_dtypes("number")]
    decimal = [column for column in numeric if (table[column].dropna() % 1).any()]
    first = table.columns.get_loc(decimal[0]) if decimal else 1
    measured = [column for column in table.columns[first:] if column in numeric]
    for row in table.to_dict("records"):
        case = _case({column: value for column, value in row.items() if column not in measured})
        for column in measured:
            if not pd.isna(row[column]):
                yield [case, column, f"{row[column]:.5g}"]


def _case(keys: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in keys.items() if not pd.isna(value))
