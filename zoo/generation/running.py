"""A model at work on rows: what it computed of them is cached, and each call computes what is new.

Prompts of unequal length go side by side: a decoder's are padded on the left, so that all rows grow at the same column;
an encoder's on the right. Padding is document −1 and positions are explicit, so a row is computed as if it were alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.utils.hooks import RemovableHandle

from zoo.batch import PADDING_DOCUMENT
from zoo.errors import ZooError
from zoo.generation import windowed_cache  # noqa: F401  (registers its kind)
from zoo.generation.cache import Cache, CacheConfig, GrowingCacheConfig
from zoo.generation.evaluation_mode import EvaluationMode
from zoo.generation.history import History
from zoo.generation.memory_cache import remembered, selected
from zoo.generation.recording import Repeated
from zoo.generation.roles import TokenRoles
from zoo.generation.static_cache import StaticCacheConfig
from zoo.generation.threads import is_small, one_thread
from zoo.models.base import Model
from zoo.models.encoder_decoder import EncoderDecoder
from zoo.nn.attend import KERNELS
from zoo.nn.stack import Memory

MOST_STATIC_PLACES = 2048
"""Up to so many places of all rows, looking at full buffers takes less time than recorded steps save."""
KNOWN_PACKAGES = frozenset(("torch", "zoo"))
"""Whose modules keep nothing from one forward to the next but what lies in their tensors and in caches."""


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
        history: what each row holds so far.
        cache: what is computed of it, with room for more; nothing at first.
        places: those of the history that are not in the cache, at least one of each row.
        vocab_size: ids that may be written are below it.
        memory: what an encoder-decoder's decoder looks at beside itself.
    """

    def __init__(
        self,
        model: Model,
        history: History,
        cache: Cache,
        places: Places,
        vocab_size: int,
        memory: Memory | None = None,
    ) -> None:
        self._backbone: Any = model.backbone
        self._head = language_model_head(model)
        self._vocab_size, self._is_small = vocab_size, is_small(model)
        self._step = Repeated(self._compute)
        self._in_evaluation = EvaluationMode(model)
        self._memory = memory
        self.history, self.cache, self.places = history, cache, places
        self._is_recorded = self.device.type == "cpu" and cache.is_static and not _is_observed(model)
        self._hooks = RemovableHandle.next_id  # grows with each hook that anybody adds

    @classmethod
    def started(
        cls,
        model: Model,
        prompts: Sequence[Sequence[int]],
        roles: TokenRoles,
        cache: CacheConfig | None = None,
        num_new: int | None = None,
    ) -> Running:
        """A model at work on prompts of which nothing is computed yet.

        Args:
            model: a decoder or an encoder-decoder with a language model head.
            prompts: ids of each row's prompt, at least one each; an encoder-decoder reads them with its encoder.
            roles: padding, start and stop, and what may not be written.
            cache: how keys and values are kept; None: what is fastest for rows that stay in their order.
            num_new: how many tokens a row gets at most, where that is known.
        """
        backbone: Any = model.backbone
        rows, memory, device = prompts, None, backbone.tokens.weight.device
        if isinstance(backbone, EncoderDecoder):
            with EvaluationMode(model):
                memory = remembered(backbone.encode(*padded(prompts, roles.padding, device, left=False)))
            rows = [[roles.padding if roles.start is None else roles.start]] * len(prompts)
        num_places = None if num_new is None else max(map(len, rows)) + num_new
        cache = cache or _usual_cache(device, len(rows), num_places)
        built = cache.build(backbone.writing_stack.windows, num_places)
        places = padded(rows, roles.padding, device, left=True)
        return cls(model, roles.begin(rows, device), built, places, roles.vocab_size, memory)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self._backbone.tokens.weight.device
        return device

    def logits(self) -> Tensor:
        """(B, V) the logits of what comes next in each row."""
        is_step = self.places.tokens_BT.shape[1] == 1
        with one_thread(self._is_small and is_step):
            if is_step and self._is_recorded and self._hooks == RemovableHandle.next_id:
                return self._step(*self.places)
            return self._compute(*self.places)

    def _compute(self, tokens_BT: Tensor, positions_BT: Tensor | None, documents_BT: Tensor | None) -> Tensor:
        with self._in_evaluation:  # here, as a recorded step calls no module: it costs 7 µs of 150 modules
            if self._memory is None:
                hidden_BTD = self._backbone(tokens_BT, positions_BT, documents_BT, cache=self.cache)
            else:
                hidden_BTD = self._backbone.decode(
                    tokens_BT, self._memory, positions_BT, documents_BT, cache=self.cache
                )
            logits_BV: Tensor = self._head(hidden_BTD[:, -1])[:, : self._vocab_size]
        return logits_BV

    def append(self, chosen_B: Tensor, live_B: Tensor) -> None:
        """Puts a token behind each row, for the next call of `logits`."""
        self.history = self.history.extended(chosen_B, live_B)
        self.places = self.places.following(chosen_B, live_B)

    def select(self, rows_R: Tensor) -> None:
        """Goes on with these rows, which may come several times or not at all."""
        if rows_R.tolist() == list(range(len(self.history.tokens_BS))):
            return
        self.history = self.history.selected(rows_R)
        self.places = self.places.selected(rows_R)
        self.cache.reorder(rows_R)
        self._step.forget()
        if self._memory is not None:
            self._memory = selected(self._memory, rows_R)


def _usual_cache(device: torch.device, num_rows: int, num_places: int | None) -> CacheConfig:
    """Where nobody says: static for few places on a CPU, so that steps are recorded, else growing."""
    is_short = num_places is not None and num_rows * num_places <= MOST_STATIC_PLACES
    return StaticCacheConfig() if device.type == "cpu" and is_short else GrowingCacheConfig()


def _is_observed(model: Model) -> bool:
    """Whether more happens in a forward than its operations.

    Somebody watches the modules or has put another forward in; torch compiles some of it; or some module is neither
    torch's nor ours, and may count in Python.
    """
    return (
        bool(_has_any_global_hook())
        or any(KERNELS[sort.kernel].is_compiled for sort in model.backbone.writing_stack.sorts)
        or any(
            module._forward_hooks
            or module._forward_pre_hooks
            or module._compiled_call_impl is not None
            or "forward" in module.__dict__
            or type(module).__module__.partition(".")[0] not in KNOWN_PACKAGES
            for module in model.modules()
        )
    )


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
