"""Lists of layer types become as few slices as say the same."""

import itertools

import pytest

from zoo.errors import ConfigError
from zoo.interop.layer_types import changes_for, type_of_each


@pytest.mark.parametrize(
    "chosen, keys",
    [
        ("xx..x", ["0", "1", "4"]),
        (".x.x.x", ["1::2"]),
        ("x..x", ["0::3"]),
        ("xxx..", ["0:3"]),
        ("..xx", ["2:"]),
        ("...x", ["3"]),
        ("....", []),
    ],
)
def test_slices(chosen: str, keys: list[str]) -> None:
    assert list(changes_for([layer == "x" for layer in chosen], {"feed_forward_dim": 3})) == keys


def test_slices_mean_what_was_chosen() -> None:
    for chosen in itertools.product([False, True], repeat=6):
        met = set()
        for key in changes_for(chosen, {}):
            parts = [int(part) if part else None for part in key.split(":")]
            met |= {*range(6)[slice(*parts)]} if len(parts) > 1 else {int(key)}
        assert met == {number for number, is_chosen in enumerate(chosen) if is_chosen}


def test_a_type_for_each_layer() -> None:
    assert type_of_each(["a", "b"], ("a", "b"), 2, "layer_types") == ["a", "b"]
    for wrong in (["a"], ["a", "c"], "ab", None):
        with pytest.raises(ConfigError, match=r"layer_types: .* must say 'a' or 'b' for each of 2 layers"):
            type_of_each(wrong, ("a", "b"), 2, "layer_types")
