"""Which shapes GPUs do badly, and what is said of them."""

import pytest
import torch

from zoo.models.create import model_config
from zoo.models.shapes import TILE, awkward_shapes


def awkward(name: str, **changes: object) -> dict[str, str]:
    with torch.device("meta"):
        return dict(awkward_shapes(model_config(name, **changes).build_unset()))


@pytest.mark.parametrize("name", ["roberta-large", "gpt2-medium"])
def test_a_vocabulary_that_tiles_do_not_divide(name: str) -> None:
    rows = model_config(name).vocab_size or 0
    assert list(awkward(name)) == ["vocab_size"]
    assert f"{rows} rows" in awkward(name)["vocab_size"]
    assert awkward(name, vocab_multiple=TILE) == {}


@pytest.mark.parametrize("name", ["modernbert-base", "t5-base", "t5-v1.1-small", "llama-3.2-1b", "qwen3-0.6b"])
def test_nothing_is_said_of_shapes_that_are_right(name: str) -> None:
    assert awkward(name) == {}


def test_widths() -> None:
    found = awkward("gpt2", dim=60, num_heads=3, feed_forward_dim=200, vocab_size=64, num_layers=1)
    assert list(found) == ["dim", "head_dim", "feed_forward_dim"]
    assert "64 would be a multiple" in found["dim"]
    assert "192 and 256" in found["feed_forward_dim"]
    assert "heads are 20 wide" in found["head_dim"]


def test_both_sides_are_looked_at() -> None:
    found = awkward("t5-nano", decoder={"dim": 96}, share_tokens=False)
    assert "decoder.dim" in found
    assert "dim" not in found
