"""Small pictures of attention weights."""

import re

import numpy as np

from zoo.report.attention import Heads
from zoo.report.heat_map import DIGITS, SHADES, encoded, heat_maps


def test_darkness_grows_with_the_weight() -> None:
    weights_HTS = np.array([[[1.0, 0.0], [0.25, 0.75]]])
    figure = heat_maps(Heads("layers", "self_attention", 0, 2, [0], 5, weights_HTS, ["a", "b"], ["a", "b"]))
    shade = {}
    for path in figure.iter("path"):
        for column, row in re.findall(r"M(\d+) (\d+)", path.get("d")):
            shade[int(row), int(column)] = float(path.get("opacity"))
    assert shade.keys() == {(0, 0), (1, 0), (1, 1)}, "no weight, no square"
    assert shade[0, 0] == 1 > shade[1, 1] > shade[1, 0] > 0
    assert "4 more heads" in "".join(figure.itertext())
    assert len(list(figure.iter("path"))) <= SHADES


def test_weights_can_be_read_back() -> None:
    weights = np.array([[0.0, 1.0], [0.1234, 1.0000001]])
    text = encoded(weights)
    numbers = [(DIGITS.index(text[i]) * 36 + DIGITS.index(text[i + 1])) / 1000 for i in range(0, len(text), 2)]
    assert numbers == [0.0, 1.0, 0.123, 1.0]
