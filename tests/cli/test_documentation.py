"""The words about each key of a config."""

from dataclasses import dataclass
from typing import Literal

from zoo.cli.documentation import document, first_line
from zoo.config import Config, setting
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class ShapeConfig(Config, Choice, noun="shape"):
    """A family."""


@dataclass(frozen=True, kw_only=True)
class RoundConfig(ShapeConfig, kind="round"):
    """Like a ball.

    More about it.
    """

    radius: float = setting(1.0, "in metres", above=0, maximum=10)


@dataclass(frozen=True, kw_only=True)
class BoxConfig(Config):
    """A box."""

    count: int = setting(doc="how many", minimum=1)
    colour: Literal["red", "blue"] | None = setting(None, "which colour")
    sizes: tuple[int, ...] = setting((1, 2), "sizes")
    shape: ShapeConfig = setting(RoundConfig(), "which shape")
    shapes: dict[str, ShapeConfig] = setting({}, "shapes by name")


def test_rows() -> None:
    rows = list(document(BoxConfig(count=3, shapes={"ball": RoundConfig(radius=2.0)})))
    assert rows == [
        ("count", "required", "whole number at least 1", "how many"),
        ("colour", "null", "null or red, blue", "which colour"),
        ("sizes", "[1, 2]", "list of whole number", "sizes"),
        ("shape.kind", "", "round", "which shape"),
        ("shape.radius", "1.0", "number above 0 and at most 10", "in metres"),
        ("shapes", "", "by name: shape (round)", "shapes by name"),
        ("shapes.ball.kind", "", "round", "Like a ball."),
        ("shapes.ball.radius", "1.0", "number above 0 and at most 10", "in metres"),
    ]


def test_first_line() -> None:
    assert first_line(RoundConfig) == "Like a ball."
    assert first_line(object()) != ""
