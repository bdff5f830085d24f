"""The page of what opens tells the truth: every architecture is on it, and every figure is one that the tests allow."""

import re

import pytest

from tests.interop import table
from tests.interop.parity import TOLERANCE, Difference
from zoo.interop.listing import architectures

TEXT = table.PAGE.read_text(encoding="utf-8")


def rows(number: int) -> dict[str, list[str]]:
    """The cells of a table of the page behind the first, by the architecture that they are about."""
    block = [part for part in TEXT.split("\n\n") if part.startswith("|")][number]
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in block.splitlines()]
    return {line[0].strip("`"): line[1:] for line in lines}


def test_every_architecture_is_on_it() -> None:
    expected = ["model_type", "---", *(one.name for one in architectures())]
    assert list(rows(0)) == list(rows(1)) == expected
    assert rows(0)["model_type"] == ["opens", *table.COLUMNS]


@pytest.mark.parametrize("one", architectures(), ids=lambda one: one.name)
def test_what_is_said_of_an_architecture(one: table.Listed) -> None:
    opens, *said = rows(0)[one.name]
    assert opens == one.opens
    numbers = [float(cell) for cell in said if re.fullmatch(r"\d+e-\d+|0", cell)]
    assert len(numbers) == 3
    assert all(number < TOLERANCE for number in numbers)
    assert all(said)
    assert rows(1)[one.name] == [one.paper, ", ".join(f"`{name}`" for name in one.classes)]


def test_readme_shows_the_figures() -> None:
    shown = table.FRONT.read_text(encoding="utf-8").partition(table.BEGIN)[2].partition(table.END)[0].strip()
    assert shown == next(part for part in TEXT.split("\n\n") if part.startswith("|"))


def test_the_rest_is_as_it_is_made() -> None:
    assert TEXT.startswith(table.INTRODUCTION)
    assert TEXT.endswith(table.CLOSING)


def test_figures() -> None:
    assert (table.figure(3.4e-15), table.figure(0.0)) == ("3e-15", "0")
    assert table.worst("distilbert") == Difference(*(pytest.approx(number) for number in table.worst("distilbert")))
    assert max(table.worst("distilbert")) < TOLERANCE
    assert table.comes_back("distilbert") == "✓"
    assert (table.writes("distilbert"), table.writes("qwen3")) == ("–", "✓")
