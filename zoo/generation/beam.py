"""Beam search: of each prompt the `num_beams` likeliest beginnings are carried on side by side.

As transformers has it. At every step the likeliest candidates of all beams of a prompt are looked at: those among the
first `num_beams` that end (at a token, a stop string or their length) are finished with the score

    (sum of log-probabilities, penalties included) / (number of new tokens, the ending one included) ** length_penalty

and the likeliest others go on. A prompt is done when its `num_beams` finished texts cannot be bettered, by a rule that
`early_stopping` chooses. What becomes of a prompt does not depend on the others of its batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from zoo.config import Config, setting
from zoo.errors import ZooError
from zoo.generation.cache import CacheConfig, GrowingCacheConfig
from zoo.generation.generate import Continuation, limits_of
from zoo.generation.penalties import obey
from zoo.generation.roles import TokenRoles
from zoo.generation.running import Running
from zoo.generation.sample import Steps, check_choice
from zoo.generation.stop import BeamWatch
from zoo.models.base import Model


@dataclass(frozen=True, kw_only=True)
class BeamConfig(Config):
    """How wide the search is, and when it ends."""

    num_beams: int = setting(1, "beginnings of a text that are carried on side by side; 1: no beam search", minimum=1)
    length_penalty: float = setting(
        1.0,
        "exponent of the length that a beam's score is divided by: above 0 favours long texts, below 0 short ones. The "
        "length alone decides long before the bounds; behind them its power would be no number",
        minimum=-20,
        maximum=20,
    )
    early_stopping: bool | Literal["never"] = setting(
        False,
        "true: a search ends with num_beams finished texts; false: when no beam would better them if it ended now; "
        "never: when none could, however long it became",
    )


class Hypothesis(NamedTuple):
    """A finished text of a search.

    Attributes:
        score: what it was ranked by.
        row: its tokens and the model's log-probabilities of them.
    """

    score: float
    row: Continuation


@torch.inference_mode()
def beam_search(
    model: Model,
    prompts: Sequence[Sequence[int]],
    roles: TokenRoles,
    config: BeamConfig,
    penalties: Steps,
    *,
    max_new_tokens: int | None = None,
    cache: CacheConfig | None = None,
    watch: BeamWatch | None = None,
) -> list[list[Hypothesis]]:
    """The best texts behind each prompt, best first, `num_beams` of them at most.

    Args:
        model: a decoder or an encoder-decoder with a language model head.
        prompts: ids of each row's prompt.
        roles: padding, and what ends a row.
        config: width, length penalty, early stopping.
        penalties: what is done to the log-probabilities before they are summed (`SamplingConfig.penalties`).
        max_new_tokens: as in `generate_steps`; a beam that has so many is finished.
        cache: how keys and values of earlier places are kept; None: `growing`. The results are the same.
        watch: ends beams at stop strings; it sees a row of each prompt at first.

    Raises:
        DataError, ConfigError: as `generate_steps`. ZooError: no text can be finished, or logits are not numbers.
    """
    limits = limits_of(model, prompts, roles, max_new_tokens)
    if not prompts:
        return []
    running = Running.started(model, prompts, roles, cache or GrowingCacheConfig(), max(limits))
    running.history = running.history._replace(limits_B=torch.tensor(limits, device=running.device))
    of_prompts = [_Finished(config, limit) for limit in limits]
    search = _Search(running, of_prompts, config.num_beams, watch)
    while search.step(penalties):
        pass
    for number, finished in enumerate(of_prompts):
        if not finished.best:
            raise ZooError(f"beam search finds no text for prompt {number}: all tokens are barred at some step")
    return [finished.best for finished in of_prompts]


class _Finished:
    """The best finished texts of one prompt."""

    def __init__(self, config: BeamConfig, limit: int) -> None:
        self.config, self.limit = config, limit
        self.best: list[Hypothesis] = []
        self.is_done = False

    def score(self, total: float, length: int) -> float:
        return total / length**self.config.length_penalty

    def add(self, hypothesis: Hypothesis) -> None:
        ranked = sorted((*self.best, hypothesis), key=lambda one: -one.score)  # of equals the older stays in front
        self.best = ranked[: self.config.num_beams]

    def settle(self, best_total: float, length: int) -> None:
        """Decides whether the search is done, from the sum of the best running beam, which has `length` new tokens."""
        if best_total == -math.inf:
            self.is_done = True
        elif len(self.best) == self.config.num_beams:
            hopeful = self.config.early_stopping == "never" and self.config.length_penalty > 0
            possible = self.score(best_total, self.limit if hopeful else length)
            self.is_done = self.is_done or self.config.early_stopping is True or possible <= self.best[-1].score


class _Candidates(NamedTuple):
    """The C likeliest candidates of each prompt, (P, C), likeliest first.

    Attributes:
        totals: sums of log-probabilities. rows: that they go on from. tokens: behind these.
        new: the model's log-probability of the token. stopped: whether a stop string ends them.
    """

    totals: Tensor
    rows: Tensor
    tokens: Tensor
    new: Tensor
    stopped: Tensor


class _Search:
    """The running beams of the prompts that are not done: P prompts × W beams are the R rows of a `Running`."""

    def __init__(
        self, running: Running, finished: list[_Finished], num_beams: int, watch: BeamWatch | None = None
    ) -> None:
        self.running, self.finished, self.num_beams, self.watch = running, finished, num_beams, watch
        self.totals_PW = torch.zeros(len(finished), 1, dtype=torch.float64, device=running.device)
        self.log_probabilities_RN = torch.zeros(len(finished), 0, dtype=torch.float64, device=running.device)
        self.limits_P = torch.tensor([one.limit for one in finished], device=running.device)
        self.stop = torch.tensor(running.history.stop, dtype=torch.int64, device=running.device)
        self.length = 0

    def step(self, penalties: Steps) -> bool:
        """One token more for each beam; False when all prompts are done."""
        self.length += 1
        prompts, width = self.totals_PW.shape
        logits_RV = self.running.logits()
        model_RV = logits_RV.to(torch.promote_types(logits_RV.dtype, torch.float32)).log_softmax(dim=-1)
        scores_RV = obey(penalties(model_RV, self.running.history), self.running.history)
        if scores_RV.isnan().any():
            check_choice(scores_RV.amax(dim=-1), self.running.history)
        vocab_size = scores_RV.shape[1]
        sums = (self.totals_PW[:, :, None] + scores_RV.view(prompts, width, vocab_size)).flatten(1)
        kept = min(max(2, 1 + len(self.stop)) * self.num_beams, sums.shape[1])
        totals_PC, places_PC = sums.topk(kept, dim=1)  # enough for num_beams to go on if all others end
        tokens_PC = places_PC % vocab_size
        rows_PC = places_PC // vocab_size + width * torch.arange(prompts, device=sums.device)[:, None]
        new_PC = model_RV[rows_PC, tokens_PC].double()
        stopped_PC = torch.zeros_like(rows_PC, dtype=torch.bool)
        if self.watch is not None:
            stopped_PC = self.watch.look(rows_PC, tokens_PC)
        ends_PC = torch.isin(tokens_PC, self.stop) | stopped_PC | (self.limits_P == self.length)[:, None]
        candidates = _Candidates(totals_PC, rows_PC, tokens_PC, new_PC, stopped_PC)
        self._finish(ends_PC & totals_PC.isfinite(), candidates)

        best = totals_PC.masked_fill(ends_PC, -math.inf).topk(min(self.num_beams, kept), dim=1)
        for finished, total in zip(self.finished, best.values[:, 0].tolist(), strict=True):
            finished.settle(total, self.length)
        self._go_on(best.values, best.indices, candidates)
        return bool(self.finished)

    def _go_on(self, totals_PW: Tensor, places_PW: Tensor, candidates: _Candidates) -> None:
        """Goes on with these candidates of the prompts that are not done; those that are done are computed no more."""
        going = [number for number, finished in enumerate(self.finished) if not finished.is_done]
        self.finished = [self.finished[number] for number in going]
        if not going:
            return
        going_P = torch.tensor(going, device=places_PW.device)
        self.limits_P = self.limits_P[going_P]
        chosen = _Candidates(*(part.gather(1, places_PW)[going_P] for part in candidates))
        rows_R = chosen.rows.flatten()
        self.totals_PW = totals_PW[going_P]  # −∞ where too few candidates go on, whatever these had
        self.log_probabilities_RN = torch.cat((self.log_probabilities_RN[rows_R], chosen.new.view(-1, 1)), dim=1)
        if self.watch is not None:
            self.watch.select((places_PW[going_P] + candidates.rows.shape[1] * going_P[:, None]).flatten())
        self.running.select(rows_R)
        self.running.append(chosen.tokens.flatten(), self.totals_PW.isfinite().flatten())

    def _finish(self, ended_PC: Tensor, candidates: _Candidates) -> None:
        """Takes the candidates that end among the first `num_beams` into the finished texts."""
        for prompt, place in ended_PC[:, : self.num_beams].nonzero().tolist():
            finished = self.finished[prompt]
            one = _Candidates(*(part[prompt, place] for part in candidates))
            row, token = int(one.rows), int(one.tokens)
            tokens = self.running.history.written[row].tolist()
            log_probabilities = [*self.log_probabilities_RN[row].tolist(), float(one.new)]
            if token in self.running.history.stop:
                continuation = Continuation(tokens, log_probabilities, "end")
            else:
                continuation = Continuation([*tokens, token], log_probabilities, "stop" if one.stopped else "length")
            finished.add(Hypothesis(finished.score(float(one.totals), self.length), continuation))
