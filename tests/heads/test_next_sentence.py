"""The pair classifier reads the first position of each row and nothing else."""

import torch

from zoo.heads.next_sentence import NextSentenceHead


def head() -> NextSentenceHead:
    module = NextSentenceHead(4).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def test_formula() -> None:
    module, hidden = head(), torch.randn(3, 5, 4, dtype=torch.float64)
    pooled = torch.tanh(hidden[:, 0] @ module.pooler.weight.T + module.pooler.bias)
    torch.testing.assert_close(module(hidden), pooled @ module.classifier.weight.T + module.classifier.bias)


def test_only_the_first_position_counts() -> None:
    hidden = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    head()(hidden).square().sum().backward()
    assert hidden.grad is not None
    assert (hidden.grad[:, 0] != 0).all()
    assert (hidden.grad[:, 1:] == 0).all()


def test_two_logits_a_row() -> None:
    assert head()(torch.zeros(3, 5, 4, dtype=torch.float64)).shape == (3, 2)
    assert sum(parameter.numel() for parameter in head().parameters()) == 4 * 4 + 4 + 2 * 4 + 2
