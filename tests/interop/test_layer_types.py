"""Lists of layer types become as few slices as say the same."""

import itertools
from typing import Any

import pytest

from zoo.errors import ConfigError
from zoo.interop.layer_types import FULL, SLIDING, changes_for, read_windows, type_of_each, write_windows
from zoo.models.create import model_config


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


def test_windows_there_and_back() -> None:
    for types in itertools.product([SLIDING, FULL], repeat=3):
        settings: dict[str, Any] = {"num_layers": 3}
        for path, value in read_windows(list(types), 4, 3).items():
            group, _, name = path.partition(".")
            settings[group] = {name: value} if name else value
        config = model_config("llama-nano", **settings)
        assert write_windows(config) == (list(types), 4 if SLIDING in types else None)


def test_two_windows_have_no_place() -> None:
    layers = {"0": {"attention": {"window": 2}}, "1": {"attention": {"window": 3}}}
    with pytest.raises(ConfigError, match=r"one window for all layers that have one, not \[2, 3\]"):
        write_windows(model_config("llama-nano", layers=layers))


def test_a_window_that_is_not_given() -> None:
    assert read_windows([FULL] * 3, None, 3) == {}
    with pytest.raises(ConfigError, match="says 'sliding_attention' of a layer, and no window is given"):
        read_windows([FULL, SLIDING, FULL], None, 3)
