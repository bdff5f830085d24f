"""The loop that writes token after token behind prompts, for decoders and encoder-decoders."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from zoo.generation.cache import CacheConfig
from zoo.generation.history import History
from zoo.generation.roles import TokenRoles
from zoo.generation.room import new_token_limits
from zoo.generation.running import Running, language_model_head
from zoo.generation.sample import Row, Sampler, SamplingConfig
from zoo.models.base import Model

Choose = Callable[[Tensor, History], Tensor]
"""Logits (B, V) and what the rows hold so far, to the next tokens (B,)."""

Watch = Callable[[Tensor, Tensor], Tensor]
"""The tokens of a step (B,) and whether their rows go on (B,), to the rows that end with it (B,), all bool."""

Start = Callable[[Model, Sequence[Sequence[int]], TokenRoles], Running]
"""A model, ids of each row's prompt and roles, to what is at work on these rows."""

Reason = Literal["end", "stop", "length"]
"""Why a text ended: a token that ends texts, a stop string, or as many tokens as it might have."""


class Step(NamedTuple):
    """One token more for each row.

    Attributes:
        tokens_B: (B,) int64 the tokens; those that end a row are among them.
        logits_BV: (B, V) what they were chosen from, before penalties, temperature and limits.
        live_B: (B,) bool, False where the row ended in an earlier step and its token means nothing.
        stopped_B: (B,) bool, True where the watch has ended the row.
    """

    tokens_B: Tensor
    logits_BV: Tensor
    live_B: Tensor
    stopped_B: Tensor

    @property
    def log_probabilities(self) -> Tensor:
        """(B,) the log of the probability of each token, before temperature and limits; computed when asked for."""
        return log_probabilities(self.logits_BV, self.tokens_B)


class LiveToken(NamedTuple):
    """The token of a step in a row that goes on, or that ends with it.

    Attributes:
        row: number of the row.
        length: how many tokens it has with this one.
        token: its id.
        stopped: whether the watch ended the row with it.
        scores: its log probability; nothing where that was not asked for.
    """

    row: int
    length: int
    token: int
    stopped: bool
    scores: Sequence[float]


def live_tokens(steps: Iterable[Step], *, scored: bool = False) -> Iterator[LiveToken]:
    """The tokens of each step, row by row, without those of rows that ended in an earlier one."""
    for length, step in enumerate(steps, start=1):
        scores = [[score] for score in step.log_probabilities.tolist()] if scored else itertools.repeat([])
        columns = zip(*(column.tolist() for column in (step.tokens_B, step.live_B, step.stopped_B)), strict=True)
        for row, ((token, live, stopped), score) in enumerate(zip(columns, scores, strict=False)):
            if live:
                yield LiveToken(row, length, token, stopped, score)


class Continuation(NamedTuple):
    """What was written behind one prompt.

    Attributes:
        tokens: ids, the one that ended the row left out.
        log_probabilities: of each token and, behind them, of the one that ended the row if any did; none where they
            were not asked for.
        reason: why it ended.
    """

    tokens: list[int]
    log_probabilities: list[float]
    reason: Reason = "length"

    @property
    def mean_log_probability(self) -> float:
        """The mean of the log probabilities, of the token that ended the row too; not a number where there are none."""
        return sum(self.log_probabilities) / len(self.log_probabilities) if self.log_probabilities else math.nan


def generate(
    model: Model,
    prompts: Sequence[Sequence[int]],
    roles: TokenRoles,
    *,
    max_new_tokens: int | None = None,
    sampling: SamplingConfig | None = None,
    samples: int = 1,
    watch: Watch | None = None,
    cache: CacheConfig | None = None,
    scored: bool = True,
    first: int = 0,
) -> list[Continuation]:
    """What the model writes behind each prompt; arguments as in `generate_steps`, whose rows these are.

    With `scored` false the log probabilities are left out, which costs a softmax over the vocabulary at each step.
    `first` is the number of the first prompt among all that there are: what is drawn is keyed by it.
    """
    keys = (Row(first + prompt, sample) for prompt in range(len(prompts)) for sample in range(samples))
    choose = Sampler(sampling or SamplingConfig(), keys)
    written = [Continuation([], []) for _ in range(len(prompts) * samples)]
    steps = generate_steps(
        model, prompts, roles, choose, max_new_tokens=max_new_tokens, samples=samples, watch=watch, cache=cache
    )
    for index, _, token, stopped, score in live_tokens(steps, scored=scored):
        row = written[index]
        row.log_probabilities.extend(score)
        if token not in roles.stop:
            row.tokens.append(token)
        if stopped or token in roles.stop:
            written[index] = row._replace(reason="end" if token in roles.stop else "stop")
    return written


def generate_steps(
    model: Model,
    prompts: Sequence[Sequence[int]],
    roles: TokenRoles,
    choose: Choose,
    *,
    max_new_tokens: int | None = None,
    samples: int = 1,
    watch: Watch | None = None,
    cache: CacheConfig | None = None,
    start: Start | None = None,
) -> Iterator[Step]:
    """Writes a token behind each prompt at every step, until each row has ended.

    Args:
        model: a decoder or an encoder-decoder with a language model head.
        prompts: ids of each row's prompt, at least one each; an encoder-decoder reads them with its encoder.
        roles: padding, and what ends a row.
        choose: picks a token of each row, for example a `Sampler`.
        max_new_tokens: tokens a row gets at most, the one that ends it included; None: DEFAULT_NEW_TOKENS behind those
            that are forced, more where `roles.num_least` asks for it, or fewer where learned positions run out.
        samples: rows of each prompt, one after the other; they share what is computed of it.
        watch: ends rows for other reasons than a token of `roles.stop`.
        cache: how keys and values of earlier places are kept; None: what is fastest. The results are the same.
        start: makes the `Running` of these rows (`Continued`), with a cache of its own; None: `Running.started`.

    Raises:
        DataError: an empty prompt, or learned positions do not suffice; before anything is computed.
        ZooError: a model that cannot write. ConfigError: a cache that is too short.
    """
    language_model_head(model)
    limits = limits_of(model, prompts, roles, max_new_tokens)
    start = start or functools.partial(Running.started, cache=cache, num_new=max(limits, default=0))
    return _steps(prompts, functools.partial(start, model, prompts, roles), choose, _Ends(limits, samples, watch))


def limits_of(
    model: Model, prompts: Sequence[Sequence[int]], roles: TokenRoles, max_new_tokens: int | None
) -> list[int]:
    """How many tokens each row may get (`new_token_limits`), from what its roles force and ask for."""
    lengths = [len(prompt) for prompt in prompts]
    return new_token_limits(model, lengths, max_new_tokens, forced=roles.num_forced, least=roles.num_least)


class _Ends(NamedTuple):
    """When rows end: their number of tokens, how many rows a prompt has, and what else ends them."""

    limits: Sequence[int]
    samples: int
    watch: Watch | None


# The decorator, not a `with` around the loop: the mode must not reach into the code that runs between two steps.
@torch.inference_mode()
def _steps(
    prompts: Sequence[Sequence[int]], begun: Callable[[], Running], choose: Choose, ends: _Ends
) -> Iterator[Step]:
    if not prompts:
        return
    running = begun()
    rows_B = torch.arange(len(prompts), device=running.device).repeat_interleave(ends.samples)
    logits_BV = running.logits()[rows_B]
    running.select(rows_B)
    limits_B = torch.tensor(ends.limits, device=running.device)[rows_B]
    running.history = running.history._replace(limits_B=limits_B)
    stop = torch.tensor(running.history.stop, dtype=torch.int64, device=running.device)
    live_B, none_B = running.history.live_B, torch.zeros_like(running.history.live_B)
    surely = min(ends.limits) if ends.watch is None and not len(stop) else 0  # so many steps end no row
    for count in itertools.count(1):
        chosen_B = choose(logits_BV, running.history)
        stopped_B = none_B if ends.watch is None else ends.watch(chosen_B, live_B)
        yield Step(chosen_B, logits_BV, live_B, stopped_B)
        if count >= surely:
            live_B = live_B & ~torch.isin(chosen_B, stop) & ~stopped_B & (limits_B > count)
            if not live_B.any():
                return
        running.append(chosen_B, live_B)
        logits_BV = running.logits()


def log_probabilities(logits_BV: Tensor, tokens_B: Tensor) -> Tensor:
    """(B,) the log of the probability that the logits give to each token, in float32 or better."""
    fine_BV = logits_BV.to(torch.promote_types(logits_BV.dtype, torch.float32))
    return fine_BV.gather(-1, tokens_B[:, None])[:, 0] - fine_BV.logsumexp(dim=-1)
