"""What verbs share."""

import pytest
import typer

from zoo.cli.arguments import examples, number, whole_number


def test_numbers() -> None:
    assert (whole_number("12"), number("0.5"), number("3")) == (12, 0.5, 3.0)


@pytest.mark.parametrize("text", ["", "a", "1.5"])
def test_no_whole_number(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a whole number"):
        whole_number(text)


def test_no_number() -> None:
    with pytest.raises(typer.BadParameter, match="'half' is not a number"):
        number("half")


def test_examples_stand_on_lines_of_their_own() -> None:
    assert examples("zoo a", "zoo b").splitlines()[1:] == ["Examples:", "  zoo a", "  zoo b"]
