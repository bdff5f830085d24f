"""Tables and lists of a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from zoo.quantity import short_number
from zoo.report.axes import plain
from zoo.report.markup import Child, element

Cell = str | int | float | bool | None | Element


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], kind: str = "") -> Element:
    """A table that scrolls sideways where the screen is narrower; numbers and shares are set to the right.

    Args:
        columns: headings; all "": no line of headings.
        rows: cells; None is empty.
        kind: a class for the style sheet.
    """
    rows = [list(row) for row in rows]
    numeric = [all(row[index] is None or _is_number(row[index]) for row in rows) for index in range(len(columns))]
    classes = ["number" if is_numeric else None for is_numeric in numeric]
    head = element("tr", *(element("th", name, class_=side) for name, side in zip(columns, classes, strict=True)))
    body = [element("tr", *(_cell(cell, side) for cell, side in zip(row, classes, strict=True))) for row in rows]
    heading = element("thead", head) if any(columns) else None
    return element(
        "div",
        element("table", heading, element("tbody", *body), class_=kind or None),
        class_="scroll",
        tabindex=0,
    )


def facts(pairs: Iterable[tuple[str, Cell]]) -> Element:
    """Names and values beside each other; what is None is left out."""
    found: list[Child] = []
    for name, value in pairs:
        if value is not None:
            found += [element("dt", name), element("dd", value if isinstance(value, Element) else written(value))]
    return element("dl", *found)


def tiles(pairs: Iterable[tuple[str, str | None, str]]) -> Element:
    """The few numbers that are looked for first: (name, value, a word to it); without a value it is left out."""
    return element(
        "div",
        *(
            element(
                "div",
                element("span", name, class_="name"),
                element("b", value),
                element("span", word, class_="word") if word else None,
                class_="tile",
            )
            for name, value, word in pairs
            if value is not None
        ),
        class_="tiles",
    )


def written(value: Cell) -> str:
    """A value as it is read: 1234567 → 1,234,567; 0.12345678 → 0.12346; True → yes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "\N{MINUS SIGN}")
    if isinstance(value, float):
        return loss(value) if 1e-3 <= abs(value) < 1e5 or value == 0 else short_number(value)
    return "" if value is None else str(value)


def loss(value: float) -> str:
    """A loss, to four figures."""
    return plain(value, 3 if abs(value) < 100 else 1)


def rate(value: float) -> str:
    """A learning rate or a norm: 0.002, 5.71e−5."""
    factor, e, exponent = f"{value:.3g}".partition("e")
    return f"{factor}e{int(exponent)}".replace("-", "\N{MINUS SIGN}") if e else factor


def percent(value: float) -> str:
    """A share."""
    return f"{100 * value:.3g} %"


def _cell(cell: Cell, side: str | None) -> Element:
    return element("td", cell if isinstance(cell, Element) else written(cell), class_=side)


def _is_number(cell: Cell) -> bool:
    if isinstance(cell, Element):
        return cell.tag == "b"
    if isinstance(cell, str):
        return cell.endswith(" %")
    return isinstance(cell, int | float) and not isinstance(cell, bool)
