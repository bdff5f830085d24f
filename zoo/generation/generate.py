"""The loop that writes token after token behind prompts, for decoders and encoder-decoders.

Prompts of unequal length go side by side: a decoder's are padded on the left, so that all rows grow at the same column;
an encoder's on the right. Padding is document −1 and positions are explicit, so a row is computed as if it were alone.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.utils.hooks import RemovableHandle

from zoo.batch import PADDING_DOCUMENT
from zoo.errors import ZooError
from zoo.generation import windowed_cache  # noqa: F401  (registers its kind)
from zoo.generation.cache import CacheConfig, GrowingCacheConfig
from zoo.generation.history import History, begin
from zoo.generation.memory_cache import remembered, selected
from zoo.generation.recording import Repeated
from zoo.generation.room import new_token_limits
from zoo.generation.sample import Row, Sampler, SamplingConfig
from zoo.generation.static_cache import StaticCacheConfig
from zoo.generation.threads import is_small, one_thread
from zoo.models.base import Model
from zoo.models.encoder_decoder import EncoderDecoder
from zoo.nn.attend import KERNELS
from zoo.nn.stack import Memory

MOST_STATIC_PLACES = 2048
"""Up to so many places of all rows, looking at full buffers takes less time than recorded steps save."""

Choose = Callable[[Tensor, History], Tensor]
"""Logits (B, V) and what the rows hold so far, to the next tokens (B,)."""


Watch = Callable[[Tensor, Tensor], Tensor]
"""The tokens of a step (B,) and whether their rows go on (B,), to the rows that end with it (B,), all bool."""

Reason = Literal["end", "stop", "length"]
"""Why a text ended: a token that ends texts, a stop string, or as many tokens as it might have."""


KNOWN_PACKAGES = frozenset(("torch", "zoo"))
"""Whose modules keep nothing from one forward to the next but what lies in their tensors and in caches."""


class TokenRoles(NamedTuple):
    """What the loop has to know of a tokenizer.

    Attributes:
        vocab_size: ids that may be written are below it; a model's table may be larger.
        padding: id of places that hold nothing.
        stop: ids that end a row.
        start: what an encoder-decoder's output begins with; None: with `padding`, as in training (T5).
        last: ids of which one is the last token of a row that gets as long as it may; (): whichever comes.
        barred: runs of ids that are never written.
        barred_first: ids that are not written first, behind what is forced.
        num_forced: how many tokens are forced at the beginning.
        num_least: how many are written before a row may end, so many of which there must be room for.
    """

    vocab_size: int
    padding: int
    stop: tuple[int, ...] = ()
    start: int | None = None
    last: tuple[int, ...] = ()
    barred: tuple[tuple[int, ...], ...] = ()
    barred_first: tuple[int, ...] = ()
    num_forced: int = 0
    num_least: int = 0


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


class Places(NamedTuple):
    """The places of one forward; positions and documents None where all rows are one document of the same length."""

    tokens_BT: Tensor
    positions_BT: Tensor | None = None
    documents_BT: Tensor | None = None

    def following(self, chosen_B: Tensor, live_B: Tensor) -> Places:
        """The one place after these in each row; a row that has ended stays at its position."""
        if self.positions_BT is None:
            return Places(chosen_B[:, None])
        next_B1 = self.positions_BT[:, -1:] + live_B[:, None]
        return Places(chosen_B[:, None], next_B1, torch.zeros_like(next_B1))

    def selected(self, rows_R: Tensor) -> Places:
        """Of these rows, which may come several times or not at all."""
        return Places(*(None if part is None else part[rows_R] for part in self))  # type: ignore[arg-type]


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
    for step in steps:
        scores = [[score] for score in step.log_probabilities.tolist()] if scored else itertools.repeat([])
        columns = zip(*(column.tolist() for column in (step.tokens_B, step.live_B, step.stopped_B)), strict=True)
        for index, ((token, live, stopped), score) in enumerate(zip(columns, scores, strict=False)):
            if not live:
                continue
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
    start: Callable[..., Running] | None = None,
) -> Iterator[Step]:
    """Writes a token behind each prompt at every step, until each row has ended.

    Args:
        model: a decoder or an encoder-decoder with a language model head, in evaluation mode.
        prompts: ids of each row's prompt, at least one each; an encoder-decoder reads them with its encoder.
        roles: padding, and what ends a row.
        choose: picks a token of each row, for example a `Sampler`.
        max_new_tokens: tokens a row gets at most, the one that ends it included; None: DEFAULT_NEW_TOKENS behind those
            that are forced, more where `roles.num_least` asks for it, or fewer where learned positions run out.
        samples: rows of each prompt, one after the other; they share what is computed of it.
        watch: ends rows for other reasons than a token of `roles.stop`.
        cache: how keys and values of earlier places are kept; None: what is fastest. The results are the same.
        start: makes the `Running` of these rows (`Continued`); None: everything is computed.

    Raises:
        DataError: an empty prompt, or learned positions do not suffice; before anything is computed.
        ZooError: a model that cannot write. ConfigError: a cache that is too short.
    """
    language_model_head(model)
    limits = limits_of(model, prompts, roles, max_new_tokens)
    begun = functools.partial(start or Running, model, prompts, roles, cache, max(limits, default=0))
    return _steps(prompts, begun, choose, _Ends(limits, samples, watch))


def limits_of(
    model: Model, prompts: Sequence[Sequence[int]], roles: TokenRoles, max_new_tokens: int | None
) -> list[int]:
    """How many tokens each row may get (`new_token_limits`), from what its roles force and ask for."""
    lengths = [len(prompt) for prompt in prompts]
    return new_token_limits(model, lengths, max_new_tokens, forced=roles.num_forced, least=roles.num_least)


def language_model_head(model: Model) -> nn.Module:
    """The head that predicts tokens; raises ZooError where the model has none."""
    if "language_model" not in model.heads:
        heads = ", ".join(model.heads) or "none"
        logits = "".join(f", or model(tokens=…)[{name!r}] for logits" for name in model.heads)
        raise ZooError(
            f"the model predicts no tokens: it has no head 'language_model' (heads: {heads}); take a folder that has "
            f"one, such as the model that this one was made from, or in Python model.embed(…) for vectors{logits}"
        )
    return model.heads["language_model"]


def writing_stack(model: Model) -> Any:
    """The stack whose keys and values are cached."""
    backbone: Any = model.backbone
    return backbone.decoder if isinstance(backbone, EncoderDecoder) else backbone.stack


def padded(prompts: Sequence[Sequence[int]], padding: int, device: torch.device, *, left: bool) -> Places:
    """Prompts as one batch, padded on the left or on the right; documents are 0, and −1 on padding."""
    width = max(len(prompt) for prompt in prompts)
    rows = [torch.as_tensor(prompt, dtype=torch.int64) for prompt in prompts]
    if all(len(row) == width for row in rows):
        return Places(torch.stack(rows).to(device))
    tokens_BT = torch.full((len(rows), width), padding)
    positions_BT = torch.zeros((len(rows), width), dtype=torch.int64)
    documents_BT = torch.full((len(rows), width), PADDING_DOCUMENT)
    for index, row in enumerate(rows):
        where = slice(width - len(row), width) if left else slice(0, len(row))
        tokens_BT[index, where] = row
        positions_BT[index, where] = torch.arange(len(row))
        documents_BT[index, where] = 0
    return Places(tokens_BT.to(device), positions_BT.to(device), documents_BT.to(device))


class Running:
    """A model at work on rows: what it computed so far is cached, so that each call gives it the new places only.

    The only place where decoding meets a cache; greedy choice, sampling and beam search go through it.

    Args:
        model: a decoder or an encoder-decoder with a language model head.
        prompts: ids of each row's prompt.
        roles: padding, start and stop.
        cache: how keys and values are kept; None: what is fastest for rows that stay in their order.
        num_new: how many tokens a row gets at most, where that is known.
    """

    def __init__(
        self,
        model: Model,
        prompts: Sequence[Sequence[int]],
        roles: TokenRoles,
        cache: CacheConfig | None = None,
        num_new: int | None = None,
    ) -> None:
        self._backbone: Any = model.backbone
        self._head = language_model_head(model)
        self._vocab_size, self._is_small = roles.vocab_size, is_small(model)
        self._step = Repeated(self._compute)
        self._memory: Memory | None = None
        self.device = self._backbone.tokens.weight.device
        rows, backbone = prompts, self._backbone
        if isinstance(backbone, EncoderDecoder):
            inputs = padded(prompts, roles.padding, self.device, left=False)
            self._memory = remembered(backbone.encode(inputs.tokens_BT, inputs.positions_BT, inputs.documents_BT))
            rows = [[roles.padding if roles.start is None else roles.start]] * len(prompts)
        num_places = None if num_new is None else max(map(len, rows)) + num_new
        cache = cache or self._usual_cache(len(rows), num_places)
        self._cache = cache.build(writing_stack(model).windows, num_places)
        self._is_recorded = self.device.type == "cpu" and self._cache.is_static and not _is_observed(model)
        self._hooks = RemovableHandle.next_id  # grows with each hook that anybody adds
        self._places = padded(rows, roles.padding, self.device, left=True)
        self.history = begin(rows, roles.stop, self.device)._replace(
            last=roles.last, barred=roles.barred, barred_first=roles.barred_first, num_forced=roles.num_forced
        )

    def logits(self) -> Tensor:
        """(B, V) the logits of what comes next in each row."""
        is_step = self._places.tokens_BT.shape[1] == 1
        with one_thread(self._is_small and is_step):
            if is_step and self._is_recorded and self._hooks == RemovableHandle.next_id:
                return self._step(*self._places)
            return self._compute(*self._places)

    def _compute(self, tokens_BT: Tensor, positions_BT: Tensor | None, documents_BT: Tensor | None) -> Tensor:
        if self._memory is None:
            hidden_BTD = self._backbone(tokens_BT, positions_BT, documents_BT, cache=self._cache)
        else:
            hidden_BTD = self._backbone.decode(tokens_BT, self._memory, positions_BT, documents_BT, cache=self._cache)
        logits_BV: Tensor = self._head(hidden_BTD[:, -1])[:, : self._vocab_size]
        return logits_BV

    def append(self, chosen_B: Tensor, live_B: Tensor) -> None:
        """Puts a token behind each row, for the next call of `logits`."""
        self.history = self.history.extended(chosen_B, live_B)
        self._places = self._places.following(chosen_B, live_B)

    def select(self, rows_R: Tensor) -> None:
        """Goes on with these rows, which may come several times or not at all."""
        if rows_R.tolist() == list(range(len(self.history.tokens_BS))):
            return
        self.history = self.history.selected(rows_R)
        self._places = self._places.selected(rows_R)
        self._cache.reorder(rows_R)
        self._step.forget()
        if self._memory is not None:
            self._memory = selected(self._memory, rows_R)

    def _usual_cache(self, num_rows: int, num_places: int | None) -> CacheConfig:
        """Where nobody says: static for few places on a CPU, so that steps are recorded, else growing."""
        is_short = num_places is not None and num_rows * num_places <= MOST_STATIC_PLACES
        return StaticCacheConfig() if self.device.type == "cpu" and is_short else GrowingCacheConfig()


def _is_observed(model: Model) -> bool:
    """Whether more happens in a forward than its operations.

    Somebody watches the modules or has put another forward in; torch compiles some of it; or some module is neither
    torch's nor ours, and may count in Python.
    """
    stack = writing_stack(model)
    return (
        bool(_has_any_global_hook())
        or any(KERNELS[sort.kernel].is_compiled for sort in stack.sorts)
        or any(
            module._forward_hooks
            or module._forward_pre_hooks
            or module._compiled_call_impl is not None
            or "forward" in module.__dict__
            or type(module).__module__.partition(".")[0] not in KNOWN_PACKAGES
            for module in model.modules()
        )
    )


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
