"""Tables and lists."""

from zoo.report.markup import element
from zoo.report.tables import facts, loss, percent, rate, table, tiles, written


def test_columns_of_numbers_are_set_to_the_right() -> None:
    made = table(("name", "count", "mixed"), [["a", 12345, 1], ["b", None, "x"]])
    sides = [[cell.get("class") for cell in row] for row in made.iter("tr")]
    assert sides == [[None, "number", None]] * 3
    assert [cell.text or "" for cell in made.iter("td")] == ["a", "12,345", "1", "b", "", "x"]
    assert "12,345" in "".join(made.itertext())


def test_bold_numbers_are_numbers() -> None:
    made = table(("loss",), [[element("b", "2.1")], [3.4], ["5.6 %"]])
    assert {cell.get("class") for cell in made.iter("td")} == {"number"}


def test_elements_may_be_cells() -> None:
    made = table(("",), [[element("i", "x")]])
    assert made.find(".//td/i").text == "x"
    assert made.find(".//thead") is None


def test_facts_leave_out_what_is_not_known() -> None:
    assert [node.text for node in facts([("a", 1), ("b", None), ("c", "x")])] == ["a", "1", "c", "x"]


def test_tiles_leave_out_what_is_not_known() -> None:
    assert len(tiles([("a", "1", ""), ("b", None, "word")])) == 1


def test_written() -> None:
    cells = (1234567, -5, 0.12345678, 123456.7, 2e-5, True, None, "x", 0.0)
    words = ["1,234,567", "\N{MINUS SIGN}5", "0.123", "123k", "2e-05", "yes", "", "x", "0.000"]
    assert [written(cell) for cell in cells] == words
    assert ([rate(value) for value in (0.002, 5.712e-5, 0.0)]) == ["0.002", "5.71e\N{MINUS SIGN}5", "0"]
    assert (loss(6.5621), loss(1234.56), percent(0.1234)) == ("6.562", "1,234.6", "12.3 %")
