"""What a kernel is: softmax(scale · q kᵀ, capped, + bias, masked) v, several implementations behind one signature.

A kernel prepares mask and bias once a forward, in the form that is cheapest for it; every layer then reuses what it
prepared. A query that may see nothing yields zeros in every kernel.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from zoo.nn.mask import AttentionMask
from zoo.registry import Registry


class Prepared(NamedTuple):
    """What a kernel made of mask and bias for one forward.

    Attributes:
        mask: bool (B or 1, 1, T, S), or additive in the dtype of the bias (B or 1, H, T, S), or None.
        bias: (B or 1, H, T, S) where the kernel wants it apart from the mask, or None.
        causal: whether the kernel itself lets each query see only earlier keys.
    """

    mask: Tensor | None
    bias: Tensor | None = None
    causal: bool = False


class Scoring(NamedTuple):
    """The numbers of one attention.

    Attributes:
        scale: factor on q kᵀ, or on the scores that stand in for it.
        cap: scores become cap · tanh(scores / cap); None: no cap.
        dropout: probability of dropping an attention weight in this call (0 in evaluation).
        sinks: (H,) for each head a logit in the denominator of the softmax that no value belongs to; None: there is
            none. It is neither scaled nor capped, and every query has it. Feature "sinks".
        additive: (H, K) the vectors v of scores vᵀ tanh(q + k), which stand in for q kᵀ; None: the dot product.
            Feature "additive".
    """

    scale: float
    cap: float | None = None
    dropout: float = 0.0
    sinks: Tensor | None = None
    additive: Tensor | None = None


class Request(NamedTuple):
    """What a stack asks of a kernel in one forward.

    Attributes:
        mask: who sees whom.
        bias: (B or 1, H, T, S) added to the scores, or None.
        num_keys: S.
        query: (B, T, …), gives length, dtype and device.
        features: what is asked beyond the plain softmax, by name.
    """

    mask: AttentionMask
    bias: Tensor | None
    num_keys: int
    query: Tensor
    features: frozenset[str] = frozenset()

    def visible(self) -> Tensor | None:
        """The mask as a tensor, (B or 1, 1, T, S) bool; None where everything sees everything."""
        return self.mask.dense(self.query.shape[1], self.num_keys, self.query.device)


class Kernel:
    """One implementation of attention.

    Attributes:
        features: what it can do beyond the plain softmax, by name: what a Scoring may ask for.
    """

    features: frozenset[str] = frozenset()

    def pick(self, request: Request) -> Kernel:
        """The kernel that serves this request: this one, but for a kernel that chooses."""
        return self

    def prepare(self, request: Request) -> Prepared:
        """Mask and bias in the kernel's own form."""
        raise NotImplementedError

    def attend(self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, prepared: Prepared, scoring: Scoring) -> Tensor:
        """(B, H, T, K) outputs; each of the G key and value heads serves H / G query heads."""
        raise NotImplementedError


def for_each_query_head(q_BHTK: Tensor, k_BGSK: Tensor) -> Tensor:
    """Repeats each key or value head for the query heads that share it: (B, G, S, K) → (B, H, S, K)."""
    groups = q_BHTK.shape[1] // k_BGSK.shape[1]
    return k_BGSK if groups == 1 else k_BGSK.repeat_interleave(groups, dim=1)


KERNELS: Registry[Kernel] = Registry("kernel")
"""Kernels by name; each is stateless. Each file of this folder adds its own."""
