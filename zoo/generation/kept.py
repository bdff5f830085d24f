"""Keys and values that stay from one call to the next: a conversation is read once, not anew at every turn.

What a decoder computes of a place depends on the tokens before it and on nothing else. So where the tokens of a prompt
begin with all those of the call before, only the rest is computed; where they do not, everything is.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from zoo.generation.cache import Cache, GrowingCacheConfig
from zoo.generation.roles import TokenRoles
from zoo.generation.running import Places, Running
from zoo.models.base import Model


class Kept:
    """What a model computed of one text, to go on from; the model's weights must stay as they are.

    It is in the hands of the call that came last: one that is still under way then goes on by itself.
    """

    def __init__(self) -> None:
        self._num_calls = 0
        self._model: Model | None = None
        self._cache: Cache | None = None
        self._tokens: list[int] = []

    def lend(self, model: Model, prompt: Sequence[int]) -> tuple[int, Cache | None, int]:
        """To a call that begins: its number, the cache to go on from and how many tokens of the prompt that holds.

        None and 0: what is held is of others, or leaves none to compute.
        """
        self._num_calls += 1
        cache, count = self._cache, len(self._tokens)
        fits = self._model is model and 0 < count < len(prompt) and self._tokens == list(prompt[:count])
        self.forget()
        return (self._num_calls, cache, count) if fits else (self._num_calls, None, 0)

    def is_lent(self, call: int) -> bool:
        """Whether the call of this number is the last that came."""
        return call == self._num_calls

    def hold(self, model: Model, cache: Cache, tokens: list[int]) -> None:
        """Keeps a cache that holds these tokens."""
        self._model, self._cache, self._tokens = model, cache, tokens

    def forget(self) -> None:
        """Keeps nothing: what is interrupted may be half computed."""
        self._model, self._cache, self._tokens = None, None, []


class Continued(Running):
    """A decoder at work on one row, from where an earlier call on the same text has left off.

    Args:
        kept: what is kept of the earlier call, and of this one for the next.
        model: a decoder with a language model head.
        prompts: ids of the only row's prompt.
        roles: as in `Running.started`.
    """

    def __init__(self, kept: Kept, model: Model, prompts: Sequence[Sequence[int]], roles: TokenRoles) -> None:
        self._kept: Kept | None = kept
        self._model = model
        self._call, found, count = kept.lend(model, prompts[0])
        history = roles.begin(prompts, model.backbone.tokens.weight.device)
        places = Places(history.tokens_BS[:, count:])
        super().__init__(model, history, found or self._empty(), places, roles.vocab_size)

    def logits(self) -> Tensor:
        """(1, V) the logits of what comes next."""
        if self._kept is not None and not self._kept.is_lent(self._call):
            # Another call has the cache now, or another text in its place: everything anew, in a cache of its own.
            self._kept, self.cache, self.places = None, self._empty(), Places(self.history.tokens_BS)
        if self._kept is None:
            return super().logits()
        self._kept.forget()
        logits_BV = super().logits()
        self._kept.hold(self._model, self.cache, self.history.tokens_BS[0].tolist())
        return logits_BV

    def _empty(self) -> Cache:
        """A cache of nothing; it grows, as nobody knows how long the text will be."""
        return GrowingCacheConfig().build(self._model.backbone.writing_stack.windows)
