"""Steps that look at what a row holds already: penalties on repetition, minimum length, a beginning that is given.

Each is a function of logits (B, V), its setting and the history that returns logits (B, V). Padding is never counted,
so a row among longer ones is treated as it would be alone.

    repetition      Keskar et al. 2019, arXiv:1909.05858 (CTRL), section 4.1; of prompt and output, as in transformers
    presence, frequency     OpenAI's: of what was written only, https://platform.openai.com/docs/api-reference
    n-grams         Paulus et al. 2017, arXiv:1705.04304, section 2.5; of prompt and output
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.generation.history import NO_TOKEN, History, counts


def penalize_repetition(logits_BV: Tensor, penalty: float, history: History) -> Tensor:
    """Of each token that the row holds: a positive logit over the penalty, a negative one times it.

    Above 1 what was said becomes less likely, below 1 more so.
    """
    held_BV = counts(history.tokens_BS, logits_BV.shape[-1], torch.float32) > 0
    changed_BV = torch.where(logits_BV < 0, logits_BV * penalty, logits_BV / penalty)
    return torch.where(held_BV, changed_BV, logits_BV)


def penalize_frequency(logits_BV: Tensor, penalty: float, history: History) -> Tensor:
    """Of each token: its logit less the penalty for each time that it was written."""
    return logits_BV - penalty * counts(history.written, logits_BV.shape[-1], logits_BV.dtype)


def penalize_presence(logits_BV: Tensor, penalty: float, history: History) -> Tensor:
    """Of each token that was written: its logit less the penalty, once."""
    return logits_BV - penalty * counts(history.written, logits_BV.shape[-1], logits_BV.dtype).clamp(max=1)


def bar_repeated_ngrams(logits_BV: Tensor, size: int, history: History) -> Tensor:
    """−∞ for each token that would end a run of `size` tokens which the row holds already."""
    tokens_BS = history.tokens_BS
    if tokens_BS.shape[1] < size:
        return logits_BV
    runs_BWN = tokens_BS.unfold(1, size, 1)
    ending_BN = tokens_BS[:, tokens_BS.shape[1] - size + 1 :]
    repeats_BW = (runs_BWN[:, :, :-1] == ending_BN[:, None]).all(dim=-1) & (runs_BWN != NO_TOKEN).all(dim=-1)
    last_BW = runs_BWN[:, :, -1].masked_fill(~repeats_BW, NO_TOKEN)
    return logits_BV.masked_fill(counts(last_BW, logits_BV.shape[-1], torch.float32) > 0, -math.inf)


def bar_stop_tokens(logits_BV: Tensor, minimum: int, history: History) -> Tensor:
    """−∞ for the tokens that end a row, while fewer than `minimum` tokens were written."""
    barred = [token for token in history.stop if token < logits_BV.shape[-1]]
    if history.num_new >= minimum or not barred:
        return logits_BV
    return logits_BV.index_fill(-1, torch.tensor(barred, device=logits_BV.device), -math.inf)


def force_prefix(logits_BV: Tensor, prefix: Sequence[int], history: History) -> Tensor:
    """−∞ for all but the next token of the prefix while it lasts; its own logit is 0, so it costs a beam nothing."""
    if history.num_new >= len(prefix):
        return logits_BV
    forced_BV = torch.full_like(logits_BV, -math.inf)
    forced_BV[:, prefix[history.num_new]] = 0.0
    return forced_BV


def obey(logits_BV: Tensor, history: History) -> Tensor:
    """What the model's own conventions ask for, after everything that a caller asks for.

    What is forced at the beginning comes even if it is barred, as transformers bars words before it forces a token.
    """
    if history.num_new >= history.num_forced:
        logits_BV = _bar(logits_BV, history)
    if history.last and history.limits_B is not None:
        is_last_B1 = (history.limits_B == history.num_new + 1)[:, None]
        if is_last_B1.any():
            forced_BV = torch.full_like(logits_BV, -math.inf)
            forced_BV[:, list(history.last)] = 0.0  # costs a beam nothing
            return torch.where(is_last_B1, forced_BV, logits_BV)
    return logits_BV


def _bar(logits_BV: Tensor, history: History) -> Tensor:
    """−∞ for what is never written, and for what is not written first."""
    single = [run[0] for run in history.barred if len(run) == 1]
    if history.num_new == history.num_forced:
        single += history.barred_first
    if single:
        logits_BV = logits_BV.index_fill(-1, torch.tensor(single, device=logits_BV.device), -math.inf)
    for run in history.barred:
        if len(run) > 1:
            logits_BV = _bar_run(logits_BV, run, history.tokens_BS)
    return logits_BV


def _bar_run(logits_BV: Tensor, run: tuple[int, ...], tokens_BS: Tensor) -> Tensor:
    """−∞ for the last token of a run in the rows that end in what stands before it."""
    *before, token = run
    if len(before) > tokens_BS.shape[1]:
        return logits_BV
    ending_BN = tokens_BS[:, tokens_BS.shape[1] - len(before) :]
    meets_B = (ending_BN == torch.tensor(before, dtype=torch.int64, device=tokens_BS.device)).all(dim=-1)
    barred_BV = torch.zeros_like(logits_BV, dtype=torch.bool)
    barred_BV[:, token] = meets_B
    return logits_BV.masked_fill(barred_BV, -math.inf)
