"""Small output layers with what a loss asks of them."""

import torch
from torch import Tensor, nn

from zoo.nn.loss import Projection


class TokenHead(nn.Module):
    """features(hidden) @ weightᵀ + bias; remembers how many places went through it."""

    def __init__(self, dim: int, vocab_size: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(vocab_size, dim, generator=generator, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(vocab_size, generator=generator, dtype=torch.float64))
        self.projected = 0

    @property
    def projection(self) -> Projection:
        """From features to logits."""
        return Projection(self.weight, self.bias, None, len(self.bias))

    def features(self, hidden: Tensor) -> Tensor:
        """Nothing is changed."""
        self.projected = hidden[..., 0].numel()
        return hidden


class PairHead(nn.Module):
    """Two logits from the first place."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64))

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(B, T, D) → (B, 2)."""
        return hidden_BTD[:, 0] @ self.weight.T
