"""A label for each token, from its hidden state alone."""

import torch

from zoo.models.create import create_model

SMALL = {"kind": "encoder", "dim": 8, "num_layers": 1, "num_heads": 2, "max_length": 8, "vocab_size": 11}


def test_each_token_has_logits_of_its_own() -> None:
    head = {"kind": "token_classification", "labels": ["O", "B-PER", "I-PER"], "transform": {"norm": True}}
    model = create_model({**SMALL, "heads": {"main": head}}).eval()
    hidden = torch.randn(2, 5, 8, requires_grad=True)
    logits = model.heads["main"](hidden)
    assert logits.shape == (2, 5, 3)
    (gradient,) = torch.autograd.grad(logits[0, 2].square().sum(), hidden)
    assert (gradient[0, 2] != 0).any()
    assert int((gradient != 0).any(-1).sum()) == 1
