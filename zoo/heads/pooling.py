"""One hidden state for a row: that of its first token, of its last, or the mean.

A row is one document here; padding counts nowhere, on whichever side of the row it is. BERT's classifiers read the
first token (Devlin et al. 2018, arXiv:1810.04805), those of decoders the last, which alone has seen all of the row
(Radford et al. 2018).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from zoo.nn.padding import PaddingAware

PoolingName = Literal["first", "last", "mean"]


class Pooling(PaddingAware):
    """Hidden states of rows to one for each row.

    Args:
        name: which.
    """

    def __init__(self, name: PoolingName) -> None:
        super().__init__()
        self.pool = {"first": _first, "last": _last, "mean": _mean}[name]

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(B, T, D) → (B, D); a row of padding alone gives the state of its border, or zeros as its mean."""
        if self.documents_BT is None:
            return self.pool(hidden_BTD, None)
        return self.pool(hidden_BTD, (self.documents_BT >= 0).expand(hidden_BTD.shape[:2]))


def _first(hidden_BTD: Tensor, real_BT: Tensor | None) -> Tensor:
    return hidden_BTD[:, 0] if real_BT is None else _at(hidden_BTD, real_BT.int().argmax(dim=1))


def _last(hidden_BTD: Tensor, real_BT: Tensor | None) -> Tensor:
    if real_BT is None:
        return hidden_BTD[:, -1]
    return _at(hidden_BTD, real_BT.shape[1] - 1 - real_BT.flip(1).int().argmax(dim=1))


def _mean(hidden_BTD: Tensor, real_BT: Tensor | None) -> Tensor:
    if real_BT is None:
        return hidden_BTD.mean(dim=1)
    sum_BD = hidden_BTD.masked_fill(~real_BT[..., None], 0).sum(dim=1)
    return sum_BD / real_BT.sum(dim=1, keepdim=True).clamp(min=1)


def _at(hidden_BTD: Tensor, place_B: Tensor) -> Tensor:
    return hidden_BTD[torch.arange(len(place_B), device=place_B.device), place_B]
