"""The page of what opens tells the truth: every architecture is on it, and every figure is one that the tests allow."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.interop import table, test_classes, test_parity, test_writing
from tests.interop.cases import CASES
from tests.interop.classes import CLASSES
from tests.interop.parity import TOLERANCE, Difference
from tests.interop.writing import WRITERS
from zoo.interop import ARCHITECTURES
from zoo.interop.listing import architectures

FIGURES = Difference._fields
"""The columns that hold a number."""
WRITING = {CASES[name].architecture for name in WRITERS}
"""The architectures that write texts."""
ROUNDING = 2.5e-16
"""A single rounding of a number near 1, in float64."""
MACHINES = 10
"""The factor by which sums in another order, as other machines have it, differ at most."""
FAST = ("bert", "distilbert")
"""Measured in every run of the tests, since they are small."""

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
    shown = dict(zip(table.COLUMNS, said, strict=True))
    for name in FIGURES:
        assert re.fullmatch(r"[1-9]e-\d\d|0", shown.pop(name))
    assert shown == {"round trip": "✓", "generation": "✓" if one.name in WRITING else "–"}
    assert all(float(said[place]) < TOLERANCE for place, name in enumerate(table.COLUMNS) if name in FIGURES)
    assert rows(1)[one.name] == [one.paper, ", ".join(f"`{name}`" for name in one.classes)]


def test_ticks_stand_for_tests() -> None:
    """A tick is right where what it stands for is tested: by the same functions, on every case and every class."""
    assert {CASES[name].architecture for name in every(test_parity.test_round_trip)} == {*ARCHITECTURES}
    assert every(test_classes.test_weights_come_back) == CLASSES
    assert {CASES[name].architecture for name in every(test_writing.test_tokens)} == WRITING


def every(test: Callable[..., None]) -> list[Any]:
    """The cases, or the classes, that a test runs over."""
    marks: list[pytest.Mark] = test.pytestmark  # type: ignore[attr-defined]
    assert not any(mark.name in ("skip", "skipif", "xfail") for mark in marks)
    return [*next(mark.args[1] for mark in marks if mark.name == "parametrize" and mark.args[0].endswith("name"))]


def agrees(shown: str, measured: float) -> bool:
    """Whether a figure is what is measured, as far as machines agree; below ROUNDING nothing can be told apart."""
    one, other = (max(number, ROUNDING) for number in (float(shown), measured))
    return max(one, other) <= MACHINES * min(one, other)


@pytest.mark.parametrize(
    "name",
    [pytest.param(one.name, marks=() if one.name in FAST else pytest.mark.slow) for one in architectures()],
)
def test_figures_are_what_is_measured(name: str) -> None:
    shown = dict(zip(("opens", *table.COLUMNS), rows(0)[name], strict=True))
    for column, measured in table.worst(name)._asdict().items():
        assert measured < TOLERANCE
        assert agrees(shown[column], measured), f"{column} is {measured:.0e}: run python -m tests.interop.table"


def test_figures_of_another_size_are_found() -> None:
    assert agrees("9e-16", 2e-15)
    assert agrees("0", 2e-16)
    assert agrees("2e-16", 0.0)
    assert not agrees("9e-14", 1e-15)
    assert not agrees("0", 9e-15)


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
