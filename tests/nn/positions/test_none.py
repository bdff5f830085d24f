"""Without positions, an encoder does not know order; a causal stack still does."""

import pytest
import torch

from zoo.models.create import create_model


@pytest.mark.parametrize("family, knows_order", [("encoder", False), ("decoder", True)])
def test_order(family: str, knows_order: bool) -> None:
    model = create_model(
        {"kind": family, "dim": 8, "num_layers": 2, "num_heads": 2, "vocab_size": 11},
        positions="none",
        initialization={"kind": "bert", "std": 0.5},
    ).double()
    tokens, order = torch.tensor([[3, 1, 4, 5, 9]]), torch.tensor([2, 0, 3, 1, 4])
    gap = (model.backbone(tokens=tokens)[:, order] - model.backbone(tokens=tokens[:, order])).abs().max()
    assert (gap > 1e-3) == knows_order
    assert knows_order or gap < 1e-12


def test_no_parameters() -> None:
    config = {"kind": "decoder", "dim": 8, "num_heads": 2, "vocab_size": 11, "max_length": 5}
    learned, none = (create_model(config, positions=kind).num_parameters for kind in ("learned", "none"))
    assert learned - none == 5 * 8
