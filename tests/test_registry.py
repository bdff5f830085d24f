"""Names resolve in closed tables: duplicates raise, misses name the nearest and all legal names."""

from dataclasses import dataclass

import pytest

from zoo.config import Config, setting
from zoo.config_text import read_overrides
from zoo.errors import ConfigError
from zoo.registry import Choice, Registry, tables, unknown_name


@pytest.fixture
def colours() -> Registry[int]:
    return Registry("colour", {"red": 1, "green": 2})


def test_look_up(colours: Registry[int]) -> None:
    assert colours["red"] == 1
    assert "green" in colours
    assert "blue" not in colours
    assert list(colours) == ["red", "green"]
    assert len(colours) == 2
    assert dict(colours.items()) == {"red": 1, "green": 2}


def test_add(colours: Registry[int]) -> None:
    assert colours.add("blue", 3) == 3
    assert colours["blue"] == 3
    with pytest.raises(ConfigError, match="colour 'red' is registered already"):
        colours.add("red", 4)
    assert colours["red"] == 1


def test_entries_are_a_copy() -> None:
    entries = {"red": 1}
    Registry("colour", entries).add("blue", 2)
    assert entries == {"red": 1}


@pytest.mark.parametrize(
    "name, message",
    [
        ("gren", r"unknown colour 'gren'; did you mean 'green'\? \(legal: green, red\)"),
        ("octarine", r"unknown colour 'octarine' \(legal: green, red\)"),
        ("", r"unknown colour '' \(legal"),
    ],
)
def test_miss(colours: Registry[int], name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        colours[name]


def test_nothing_is_imported(colours: Registry[int]) -> None:
    with pytest.raises(ConfigError, match=r"unknown colour 'os\.system'"):
        colours["os.system"]


def test_unknown_name_without_legal_ones() -> None:
    assert unknown_name("colour", 3, []) == "unknown colour 3 (legal: none)"


@dataclass(frozen=True, kw_only=True)
class Shape(Config, Choice, noun="shape"):
    """A family of alternatives of its own."""


@dataclass(frozen=True, kw_only=True)
class Round(Shape):
    """An abstract alternative: no kind."""

    size: float = setting(1.0)


@dataclass(frozen=True, kw_only=True)
class Ball(Round, kind="ball"):
    """Inherits its fields."""


@dataclass(frozen=True, kw_only=True)
class Cube(Shape, kind="cube"):
    """Joins the family."""


def test_choices() -> None:
    assert Shape.choices == {"ball": Ball, "cube": Cube}
    assert Shape.choice("cube") is Cube
    assert Ball(size=2.0).kind == "ball"
    assert not hasattr(Round, "kind")


def test_families_are_apart() -> None:
    class Taste(Choice, noun="taste"):
        pass

    assert Taste.choices == {}
    assert Shape.choices


def test_duplicate_choice() -> None:
    with pytest.raises(ConfigError, match="shape 'cube' is registered already by Cube"):
        type("Other", (Shape,), {}, kind="cube")
    assert Shape.choices["cube"] is Cube


@pytest.mark.parametrize("kind", ["cub", 3, None, ["cube"], "zoo.models"])
def test_no_such_choice(kind: object) -> None:
    with pytest.raises(ConfigError, match=r"kind: unknown shape .*legal: ball, cube"):
        Shape.choice(kind)


def test_every_name_can_be_typed() -> None:
    """YAML reads some words as something else (off and no as false); none of them may be the name of a choice."""
    names = {name for _, entries in tables() for name in entries}
    assert {"none", "plain", "rotary"} <= names
    for name in names:
        assert read_overrides([f"chosen={name}"]).settings == {"chosen": name}
