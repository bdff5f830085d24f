"""What fields may hold that are computed with: each kind is known by a value that fits and one that does not."""

from typing import Any

import pytest

from zoo.errors import ConfigError
from zoo.interop import ARCHITECTURES
from zoo.interop.kinds import GROUPS, KINDS, check_kind, check_kinds


@pytest.mark.parametrize("name", [*KINDS, *sorted(GROUPS), "architectures"])
def test_nonsense_is_told_by_its_name(name: str) -> None:
    for bad in (True, [1], -1):
        with pytest.raises(ConfigError) as caught:
            check_kind(name, bad)
        assert caught.value.key == name


@pytest.mark.parametrize("architecture", [*dict(ARCHITECTURES.items())])
def test_every_default_is_of_its_kind(architecture: str) -> None:
    assert check_kinds({field.name: field.default for field in ARCHITECTURES[architecture].fields}) == []


def test_all_that_is_wrong_is_told_and_nothing_else() -> None:
    config: dict[str, Any] = {"rope_scaling": {}, "rope_theta": 1, "rotary_pct": 2.0, "sliding_window": -1, "other": -1}
    assert [str(error) for error in check_kinds(config)] == [
        "rotary_pct: 2.0 must be at most 1",
        "sliding_window: -1 must be at least 0",
    ]
    assert check_kinds({"rope_parameters": None, "architectures": ["Any"], "rotary_pct": None}) == []
