"""Which places of a row are padding, for the few parts that compute over tokens together.

Nearly everything in a Transformer treats each token by itself, or is told what it may see by the mask. A part that
counts or averages over the tokens of a batch (batch normalization, the balancing of experts) must leave padding out:
it is a `PaddingAware`, and whoever runs the stack tells it the document ids before it runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn


class PaddingAware(nn.Module):
    """A module that must know which places are padding.

    Attributes:
        documents_BT: document id of each place of the batch that comes next, −1 padding; None: no padding.
    """

    documents_BT: Tensor | None = None

    def real(self, hidden: Tensor) -> Tensor:
        """(N, D) of (B, T, D) or (N, D): the hidden states that are no padding."""
        flat_ND = hidden.flatten(0, -2)
        if self.documents_BT is None or hidden.ndim == 2:
            return flat_ND
        return flat_ND[(self.documents_BT >= 0).expand(hidden.shape[:-1]).flatten()]


def padding_aware(module: nn.Module) -> list[PaddingAware]:
    """The parts of a module that must be told about padding."""
    return [part for part in module.modules() if isinstance(part, PaddingAware)]


def tell_padding(parts: Iterable[PaddingAware], documents_BT: Tensor | None) -> None:
    """Tells the parts which places of the batch that comes next are padding."""
    for part in parts:
        part.documents_BT = documents_BT
