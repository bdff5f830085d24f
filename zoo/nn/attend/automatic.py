"""The kernel that chooses among the others: for each request the first rule below that fits and whose kernel can.

It never asks for less than the request does, so the choice changes speed and rounding and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from zoo.nn.attend.base import KERNELS, Demand, Kernel, Prepared, Request, Scoring
from zoo.nn.attend.flex import FlexKernel
from zoo.nn.attend.reference import ReferenceKernel
from zoo.nn.attend.sdpa import SDPAKernel
from zoo.nn.attend.varlen import VarlenKernel


class Rule(NamedTuple):
    """When a kernel is the fastest.

    Attributes:
        kernel: its name.
        fits: whether it is the fastest for that, if it can do it.
        reason: why it is, as the rest of a sentence about it.
    """

    kernel: str
    fits: Callable[[Demand], bool]
    reason: str


MANY_KEYS = 2048
"""From so many keys of a row on, leaving out what lies between documents makes up for laying the rows end to end. On an
H100 (benchmarks/README.md) forward and backward of a layer took 1.9 ms beside 1.4 of SDPA with a mask at 1,024 keys,
and 2.5 beside 11.5 at 8,192; the two lines cross near 1,600."""


def _packed_on_cuda(demand: Demand) -> bool:
    return demand.device == "cuda" and demand.masked and (demand.num_keys is None or demand.num_keys >= MANY_KEYS)


def _changed_scores_on_cuda(demand: Demand) -> bool:
    return demand.device == "cuda" and not demand.features.isdisjoint({"cap", "sinks"})


def _always(demand: Demand) -> bool:
    return True


RULES = (
    Rule(VarlenKernel.name, _packed_on_cuda, "computes nothing between documents, outside a window or for padding"),
    Rule(FlexKernel.name, _changed_scores_on_cuda, "has soft caps and sinks in one fused kernel"),
    Rule(SDPAKernel.name, _always, "is torch's fused kernel"),
    Rule(ReferenceKernel.name, _always, "can do everything, step by step"),
)
"""The fastest first; the last one fits always and can do everything."""


class AutomaticKernel(Kernel):
    """Chooses the fastest of the others that can do what is asked, on the device where it is asked."""

    name = "auto"
    features = ReferenceKernel.features

    def pick(self, request: Request) -> Kernel:
        """The kernel of the first rule that fits and can, with these data too."""
        demand = request.demand()
        able = (KERNELS[rule.kernel] for rule in RULES if _is_able(rule, demand))
        return next(kernel for kernel in able if kernel.data_refusal(request) is None)

    def prepare(self, request: Request) -> Prepared:
        """The chosen kernel with what it prepared, for who did not ask `pick`."""
        chosen = self.pick(request)
        return Prepared(None, form=(chosen, chosen.prepare(request)))

    def attend(self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, prepared: Prepared, scoring: Scoring) -> Tensor:
        """As the chosen kernel does."""
        chosen, its_own = prepared.form
        out: Tensor = chosen.attend(q_BHTK, k_BGSK, v_BGSK, its_own, scoring)
        return out


def _is_able(rule: Rule, demand: Demand) -> bool:
    return rule.fits(demand) and KERNELS[rule.kernel].refusal(demand) is None


def explain(demand: Demand) -> tuple[str, str]:
    """The name of the kernel that `auto` would choose, and why that one and no faster one; nothing is computed.

    For data that a kernel cannot serve `pick` goes on to the next one.
    """
    passed_over: list[str] = []
    for rule in RULES:
        refusal = KERNELS[rule.kernel].refusal(demand)
        if rule.fits(demand) and refusal is None:
            return rule.kernel, "; ".join([rule.reason, *passed_over])
        if rule.fits(demand):
            passed_over.append(f"{rule.kernel} {refusal}")
    raise AssertionError("the last rule fits always and its kernel can do everything")


KERNELS.add(AutomaticKernel.name, AutomaticKernel())
