"""What a field may hold."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from zoo.errors import ConfigError
from zoo.field_types import check_value, describe_type, entry_types, fits_type, meant_number
from zoo.nn.norm import NormConfig
from zoo.nn.scale import ScaleConfig

FITS: list[tuple[Any, Any]] = [
    (int, 3),
    (float, 3),
    (float, 0.5),
    (bool, True),
    (str, "a"),
    (int | None, None),
    (Literal["a", "b"], "a"),
    (tuple[int, ...], (1, 2)),
    (tuple[float, float], (0.5, 1)),
    (dict[str, int], {"a": 1}),
]
MISFITS: list[tuple[Any, Any]] = [
    (int, True),
    (int, 3.0),
    (float, True),
    (float, 10**400),
    (bool, 1),
    (str, 1),
    (int | None, "3"),
    (Literal["a", "b"], "c"),
    (bool | Literal["c"], "true"),
    (Literal[1], True),
    (tuple[int, ...], (1, "2")),
    (tuple[float, float], (0.5,)),
    (dict[str, int], {"a": "1"}),
]


@pytest.mark.parametrize(("kind", "value"), FITS)
def test_fits(kind: Any, value: Any) -> None:
    assert fits_type(kind, value)
    check_value(kind, value, {})


@pytest.mark.parametrize(("kind", "value"), MISFITS)
def test_misfits_are_refused_and_named(kind: Any, value: Any) -> None:
    assert not fits_type(kind, value)
    with pytest.raises(ConfigError) as error:
        check_value(kind, value, {})
    assert describe_type(kind) in str(error.value)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (tuple[str, ...], "heads.*", r"; write \[heads\.\*\]$"),
        (tuple[float, ...], 1.0, r"; write \[1\.0\]$"),
        (tuple[str, ...], 1, "each entry text$"),
        (tuple[float, float], 1.0, "each entry a number$"),
    ],
)
def test_one_entry_for_a_list_is_told_how_to_be_written(kind: Any, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_value(kind, value, {})


@pytest.mark.parametrize(
    ("bounds", "value", "words"),
    [
        ({"minimum": 1}, 0, "at least 1"),
        ({"maximum": 1}, 2, "at most 1"),
        ({"above": 0}, 0, "above 0"),
        ({"below": 1}, 1.0, "below 1"),
        ({"minimum": 0}, (1, -1), "1: -1 must be at least 0"),
    ],
)
def test_bounds(bounds: dict[str, float], value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_value(Any, value, bounds)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "${a}", "???"])
def test_what_is_no_plain_value(value: Any) -> None:
    with pytest.raises(ConfigError):
        check_value(Any, value, {})


def test_a_choice_is_described_by_its_kinds() -> None:
    assert describe_type(NormConfig | None) == f"a norm (legal kinds: {', '.join(sorted(NormConfig.choices))}) or null"


def test_entries_of_a_tuple() -> None:
    assert entry_types((int, Ellipsis), 3) == (int, int, int)
    assert entry_types((int, str), 5) == (int, str)


@pytest.mark.parametrize("value, hint", [(0.5, "value: 0.5"), (2, "value: 2"), (True, ""), ("a", ""), (None, "")])
def test_number_where_a_choice_stands(value: object, hint: str) -> None:
    told = f"; did you mean {{kind: constant, {hint}}}?" if hint else ""
    assert meant_number(ScaleConfig, value) == told
    assert meant_number(NormConfig, value) == ""
