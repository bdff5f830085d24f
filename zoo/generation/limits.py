"""Which tokens may be drawn: temperature, and the samplers that leave only a part of the vocabulary in.

Each is a pure function of logits (B, V) and its setting that returns logits (B, V); −∞ is the logit of a token that
cannot be chosen. At least one token of each row stays. The third argument, the history, is there for all steps alike.

    temperature
    top-k       Fan et al. 2018, arXiv:1805.04833
    top-p       Holtzman et al. 2019, arXiv:1904.09751
    min-p       Nguyen et al. 2024, arXiv:2407.01082
    typical     Meister et al. 2022, arXiv:2202.00666
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.generation.history import History


def divide(logits_BV: Tensor, temperature: float, _: History | None = None) -> Tensor:
    """Logits over the temperature, in float64: below 1 the likely become likelier, above 1 less so."""
    logits_BV = logits_BV.double()
    return (logits_BV - logits_BV.amax(dim=-1, keepdim=True)) / temperature  # nothing overflows where the most is 0


def keep_top_k(logits_BV: Tensor, k: int, _: History | None = None) -> Tensor:
    """−∞ for all but the k most likely tokens of a row; tokens as likely as the k-th stay as well."""
    kth_B1 = logits_BV.topk(min(k, logits_BV.shape[-1]), dim=-1).values[:, -1:]
    return logits_BV.masked_fill(logits_BV < kth_B1, -math.inf)


def keep_top_p(logits_BV: Tensor, p: float, _: History | None = None) -> Tensor:
    """−∞ for all but the fewest most likely tokens of a row that together have a probability of at least p.

    Among equally likely tokens those with lower ids count as more likely.
    """
    descending_BV, order_BV = logits_BV.double().sort(dim=-1, descending=True, stable=True)
    probabilities_BV = descending_BV.softmax(dim=-1)
    before_BV = probabilities_BV.cumsum(dim=-1) - probabilities_BV
    before_BV[:, 0] = 0.0  # the most likely token stays, whatever rounding says
    dropped_BV = torch.zeros_like(order_BV, dtype=torch.bool).scatter(-1, order_BV, before_BV >= p)
    return logits_BV.masked_fill(dropped_BV, -math.inf)


def keep_min_p(logits_BV: Tensor, p: float, _: History | None = None) -> Tensor:
    """−∞ for the tokens of a row that are less likely than p times its most likely one."""
    least_B1 = logits_BV.amax(dim=-1, keepdim=True) + math.log(p)
    return logits_BV.masked_fill(logits_BV < least_B1, -math.inf)


def keep_typical(logits_BV: Tensor, p: float, _: History | None = None) -> Tensor:
    """−∞ for all but the fewest most typical tokens of a row that together have a probability of at least p.

    A token is the more typical, the nearer its information −log q is to the entropy, which is its expectation; tokens
    as typical as the last one that stays, stay as well.
    """
    log_q_BV = logits_BV.double().log_softmax(dim=-1)
    q_BV = log_q_BV.exp()
    entropy_B1 = -(q_BV * log_q_BV).nansum(dim=-1, keepdim=True)  # 0 · −∞: a token that cannot be chosen adds nothing
    distance_BV = (-log_q_BV - entropy_B1).abs()
    ascending_BV, order_BV = distance_BV.sort(dim=-1, stable=True)
    enough_BV = q_BV.gather(-1, order_BV).cumsum(dim=-1) >= p
    # Where rounding keeps the sum below p, none is enough and all stay.
    last_B1 = torch.where(enough_BV.any(-1, keepdim=True), enough_BV.int().argmax(-1, keepdim=True), -1)
    last_B1 = last_B1.remainder(logits_BV.shape[-1])
    return logits_BV.masked_fill(distance_BV > ascending_BV.gather(-1, last_B1), -math.inf)
