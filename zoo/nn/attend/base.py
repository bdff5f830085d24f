"""What a kernel is: softmax(scale · q kᵀ, capped, + bias, masked) v, several implementations behind one signature.

A kernel prepares mask and bias once a forward, in the form that is cheapest for it; every layer then reuses what it
prepared. A query that may see nothing yields zeros in every kernel.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.nn.mask import AttentionMask
from zoo.registry import Registry


class Prepared(NamedTuple):
    """What a kernel made of mask and bias for one forward.

    Attributes:
        mask: bool (B or 1, 1, T, S), or additive in the dtype of the bias (B or 1, H, T, S), or None.
        bias: (B or 1, H, T, S) where the kernel wants it apart from the mask, or None.
        causal: whether the kernel itself lets each query see only earlier keys.
        form: the mask in a form of the kernel's own (flex: a block mask; varlen: sequences), or None.
    """

    mask: Tensor | None
    bias: Tensor | None = None
    causal: bool = False
    form: Any = None


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

    @property
    def features(self) -> frozenset[str]:
        """What it asks of a kernel beyond the plain softmax, by name."""
        return _asked(self.cap is not None, self.dropout > 0, self.sinks is not None, self.additive is not None)


@functools.cache
def _asked(cap: bool, dropout: bool, sinks: bool, additive: bool) -> frozenset[str]:
    """Names of the features that are asked; layers ask it anew in every call, and there are few answers."""
    asked = {"cap": cap, "dropout": dropout, "sinks": sinks, "additive": additive}
    return frozenset(name for name, is_asked in asked.items() if is_asked)


class Demand(NamedTuple):
    """What a kernel must be able to do, and where: all of a request that is known without data.

    Attributes:
        device: type of the device, as torch names it: cpu, cuda, …
        dtype: of queries, keys and values in the kernel.
        gradients: whether there may be a backward.
        features: what is asked beyond the plain softmax, by name.
        masked: whether documents, padding or a window keep queries from keys; the causal order alone does not count.
        num_keys: of a row, whatever document they are of; None: not known, perhaps very many.
    """

    device: str
    dtype: torch.dtype
    gradients: bool = True
    features: frozenset[str] = frozenset()
    masked: bool = False
    num_keys: int | None = None


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

    def demand(self) -> Demand:
        """What of it is known without data."""
        features = {"bias": self.bias is not None, "prefix": self.mask.prefix is not None}
        device, dtype = self.query.device.type, self.query.dtype
        if dtype is torch.float32 and torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        return Demand(
            device,
            dtype,
            torch.is_grad_enabled(),
            self.features.union(name for name, asked in features.items() if asked),
            self.mask.query_documents is not None or self.mask.window != (None, None),
            self.num_keys,
        )

    def visible(self) -> Tensor | None:
        """The mask as a tensor, (B or 1, 1, T, S) bool; None where everything sees everything."""
        return self.mask.dense(self.query.shape[1], self.num_keys, self.query.device)


class Kernel:
    """One implementation of attention.

    Attributes:
        name: under which it is registered.
        features: what it can do beyond the plain softmax over what a query sees in its order, document and window.
            What there is: "bias" on the scores, "prefix" that sees both ways, "wide_heads" (of more than 256), and what
            a Scoring may ask for: "cap", "dropout", "sinks", "additive".
        is_compiled: whether torch compiles it when it is called.
    """

    name: str
    features: frozenset[str] = frozenset()
    is_compiled: bool = False

    def refusal(self, demand: Demand) -> str | None:
        """Why this kernel cannot do that, as the rest of a sentence about it; None: it can."""
        missing = sorted(demand.features - self.features)
        return f"cannot do {', '.join(missing)}" if missing else None

    def require(self, demand: Demand) -> None:
        """Raises ConfigError where this kernel cannot do that."""
        self._raise(self.refusal(demand))

    def data_refusal(self, request: Request) -> str | None:
        """Why this kernel cannot serve that request though it can do what is demanded: what only the data tell."""
        return None

    def require_data(self, request: Request) -> None:
        """Raises ConfigError where this kernel cannot serve that request."""
        self._raise(self.data_refusal(request))

    def _raise(self, refusal: str | None) -> None:
        if refusal is not None:
            raise ConfigError(f"kernel {self.name!r} {refusal}; use 'auto' or another kernel", "attention.kernel")

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


WIDEST_HEAD = 256
"""Of a fused kernel, in channels; heads that are wider ask for the feature "wide_heads"."""

KERNELS: Registry[Kernel] = Registry("kernel")
"""Kernels by name; each is stateless. Each file of this folder adds its own."""
