"""From prompts as tokens to texts, whole or streamed: spelt behind the prompt, cut at stop strings."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zoo.errors import Collected, ConfigError, quoted
from zoo.generation.beam import Hypothesis
from zoo.generation.counts import check_count
from zoo.generation.decoding import DecodingConfig, asked_roles, check_tokens, decode
from zoo.generation.generate import Reason, Start, generate_steps, limits_of, live_tokens
from zoo.generation.kept import Continued, Kept
from zoo.generation.roles import TokenRoles
from zoo.generation.rows import prompts_at_once
from zoo.generation.running import language_model_head
from zoo.generation.sample import Sampler
from zoo.generation.stop import StoppingStream, StopWatch
from zoo.generation.stream import TextStream, text_of
from zoo.models.base import Model
from zoo.tokenizer.tokenizer import Tokenizer


class Generated(NamedTuple):
    """A text that was written.

    Attributes:
        text: without the prompt, cut before a stop string.
        tokens: its ids, those of a stop string too, without the one that ended it.
        log_probabilities: by the model, before penalties, temperature and limits: of each token and, where a token
            ended the text, of that one.
        score: what it was ranked by: the mean of the log-probabilities, or a beam's score.
        finished: why it ended: "end" (a token that ends texts), "stop" (a stop string) or "length".
    """

    text: str
    tokens: list[int]
    log_probabilities: list[float]
    score: float
    finished: Reason


class Piece(NamedTuple):
    """A piece of the text behind one of several prompts.

    Attributes:
        prompt: which of them, from 0.
        text: never a part of a character or of a stop string; it may be "" where the text ends.
        last: whether the text ends with it, which each text does once.
    """

    prompt: int
    text: str
    last: bool


class AskedPrefix(NamedTuple):
    """What is known of the prefix of a text beside its tokens.

    Attributes:
        name: of the option that gave it.
        num_own: how many of the tokens are not given, but what the model's output begins with in any case.
    """

    name: str = "prefix_tokens"
    num_own: int = 0


class Writer(NamedTuple):
    """What is needed to write texts.

    Attributes:
        model: a decoder or an encoder-decoder with a language model head.
        tokenizer: its tokenizer.
        roles: padding, start, stop.
        goes_on: whether the text stands behind its prompt (a decoder's) or by itself.
        prefix: what is known of the prefix.
    """

    model: Model
    tokenizer: Tokenizer
    roles: TokenRoles
    goes_on: bool
    prefix: AskedPrefix = AskedPrefix()

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        config: DecodingConfig,
        max_new_tokens: int | None,
        batch_size: int,
        *,
        scored: bool = True,
    ) -> Iterator[list[Generated]]:
        """For each prompt its texts, best first, `batch_size` prompts side by side, or fewer where memory is short.

        Other arguments and errors as in `decode`: where not `scored`, texts may come without log-probabilities. Wrong
        input raises at once, before anything is computed.
        """
        limits = self._check(prompts, config, max_new_tokens, batch_size)
        size = self._at_once(prompts, limits, config, batch_size)

        def texts() -> Iterator[list[Generated]]:
            for first in range(0, len(prompts), size):
                yield from self._batch(prompts[first : first + size], config, max_new_tokens, first, scored)

        return texts()

    def _batch(
        self,
        prompts: Sequence[Sequence[int]],
        config: DecodingConfig,
        max_new_tokens: int | None,
        first: int,
        scored: bool,
    ) -> list[list[Generated]]:
        found = decode(
            self.model,
            prompts,
            self.roles,
            config,
            max_new_tokens=max_new_tokens,
            streams=(lambda number: self._stream(prompts[number], config.stop)) if config.stop else None,
            first=first,
            scored=scored,
        )
        return [
            [self._generated(one, prompt, config.stop) for one in texts]
            for prompt, texts in zip(prompts, found, strict=True)
        ]

    def stream(
        self,
        prompts: Sequence[Sequence[int]],
        config: DecodingConfig,
        max_new_tokens: int | None,
        batch_size: int,
        kept: Kept | None = None,
    ) -> Iterator[Piece]:
        """The texts of all prompts piece by piece, `batch_size` prompts side by side.

        All pieces of a prompt together are what `write` gives. Wrong input raises at once. What is `kept` of an earlier
        call is not computed again, where it is the beginning of the only prompt.

        Raises:
            ConfigError: a text would be chosen among several; `kept` goes with one prompt of a decoder and without a
                `cache`. DataError, ConfigError, ZooError: as `decode`.
        """
        if config.several is not None:
            told = f"{getattr(config, config.several)} texts would have to be whole before one is chosen; stream one"
            raise ConfigError(told, config.several)
        if kept is not None and not isinstance(kept, Kept):
            raise ConfigError(f"{quoted(kept)} is no zoo.generation.kept.Kept", "kept")
        if kept is not None and (len(prompts) != 1 or not self.goes_on or config.cache is not None):
            raise ConfigError("it goes with one prompt of a decoder, and without a cache; leave it out", "kept")
        limits = self._check(prompts, config, max_new_tokens, batch_size)
        size = self._at_once(prompts, limits, config, batch_size)
        start = None if kept is None else functools.partial(Continued, kept)

        def pieces() -> Iterator[Piece]:
            for first in range(0, len(prompts), size):
                numbers = range(first, min(first + size, len(prompts)))
                yield from self._pieces(prompts, numbers, config, max_new_tokens, limits, start)

        return pieces()

    def _pieces(
        self,
        prompts: Sequence[Sequence[int]],
        numbers: range,
        config: DecodingConfig,
        max_new_tokens: int | None,
        limits: Sequence[int],
        start: Start | None,
    ) -> Iterator[Piece]:
        """The pieces of one batch, the prompts of these numbers, each of which may get so many tokens."""
        roles = asked_roles(self.roles, config)
        batch = [prompts[number] for number in numbers]
        texts = [self._stream(prompt, config.stop) for prompt in batch]
        watch, choose = StopWatch(texts, roles.stop), Sampler(config, numbers)
        steps = generate_steps(
            self.model,
            batch,
            roles,
            choose,
            max_new_tokens=max_new_tokens,
            watch=watch,
            cache=config.cache,
            start=start,
        )
        for row, length, token, stopped, _ in live_tokens(steps):
            number = numbers[row]
            last = stopped or token in roles.stop or length == limits[number]
            piece = "".join(watch.take(row)) + (texts[row].finish() if last else "")
            if piece or last:
                yield Piece(number, piece, last)

    def _check(
        self,
        prompts: Sequence[Sequence[int]],
        config: DecodingConfig,
        max_new_tokens: int | None,
        batch_size: int,
    ) -> list[int]:
        """How many tokens each prompt may get; raises where anything that was asked for does not fit."""
        roles, wrong = asked_roles(self.roles, config), Collected()
        with wrong.taken():
            check_count(batch_size, "batch_size")
        with wrong.taken():
            check_tokens(config, roles, max_new_tokens, self.prefix.name)
        wrong.raise_any()
        language_model_head(self.model)
        self._check_prefix(prompts, config)
        limits = limits_of(self.model, prompts, roles, max_new_tokens)
        if config.cache is not None:
            config.cache.check(self.model.backbone.writing_stack.windows)
        return limits

    def _at_once(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], config: DecodingConfig, batch_size: int
    ) -> int:
        """How many prompts go side by side.

        Raises:
            ConfigError: there is not memory enough for one, or the cache asked for is too short for some batch,
                of which it must hold the longest prompt and as many tokens as any of its prompts may get.
        """
        lengths = [len(prompt) for prompt in prompts]
        size = prompts_at_once(self.model, lengths, limits, config, self.roles, batch_size)
        if config.cache is not None:
            begun = [1] * len(lengths) if self.model.backbone.writes_apart else lengths
            batches = [slice(first, first + size) for first in range(0, len(lengths), size)]
            places = max((max(begun[batch]) + max(limits[batch]) for batch in batches), default=0)
            config.cache.check_room(places)
        return size

    def _check_prefix(self, prompts: Sequence[Sequence[int]], config: DecodingConfig) -> None:
        """Raises ConfigError where the prefix that was asked for is never written, or a stop string is in it."""
        tokens, own = config.prefix_tokens, self.prefix.num_own
        for run in self.roles.barred:
            if any(tokens[end - len(run) : end] == run for end in range(max(own + 1, len(run)), len(tokens) + 1)):
                spelt = self.tokenizer.decode(run, skip_special=False) or " ".join(map(self.tokenizer.token, run))
                told = f"the model never writes {list(run)} ({spelt!r}), as its folder says; take them out"
                raise ConfigError(told, self.prefix.name)
        for prompt in prompts if config.stop and config.prefix_tokens else ():
            prefix = text_of(self.tokenizer, config.prefix_tokens, self._context(prompt))
            if ending := [stop for stop in config.stop if stop in prefix]:
                raise ConfigError(f"{ending} would end the text in its prefix {prefix!r}; take them out", "stop")

    def _stream(self, prompt: Sequence[int], stops: Sequence[str]) -> StoppingStream:
        return StoppingStream(TextStream(self.tokenizer, self._context(prompt)), stops)

    def _generated(self, one: Hypothesis, prompt: Sequence[int], stops: Sequence[str]) -> Generated:
        tokens, log_probabilities, reason = one.row
        if not stops:
            text = text_of(self.tokenizer, tokens, self._context(prompt))
            return Generated(text, tokens, log_probabilities, one.score, reason)
        stream = self._stream(prompt, stops)
        text = "".join([*(stream.push(token) for token in tokens), stream.finish()])
        # What is held back to the last may be a stop string, too.
        return Generated(text, tokens, log_probabilities, one.score, "stop" if stream.is_stopped else reason)

    def _context(self, prompt: Sequence[int]) -> Sequence[int]:
        """What the new text stands behind: a decoder's prompt; an encoder-decoder's output stands by itself."""
        return prompt if self.goes_on else ()
