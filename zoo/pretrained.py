"""A model with its tokenizer, as people hold it: `zoo.load(folder).generate("Once upon a time")`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from torch import Tensor

from zoo.config import build
from zoo.errors import ConfigError, DataError, ZooError
from zoo.generation.fill import Filled, fill_masks, fill_spans
from zoo.generation.generate import TokenRoles, generate, generate_steps
from zoo.generation.sample import Sampler, SamplingConfig
from zoo.generation.stream import TextStream, text_of
from zoo.models.base import Model, ModelConfig
from zoo.tokenizer.tokenizer import Tokenizer

ABILITIES: dict[str, tuple[str, ...]] = {
    "encoder": ("fill",),
    "decoder": ("generate",),
    "encoder_decoder": ("fill", "generate"),
}
"""What each family can do with text: names of methods of `Pretrained`."""


class Pretrained:
    """A model and its tokenizer.

    Args:
        model: put into evaluation mode.
        tokenizer: of the model; None: the model takes and gives tensors only.

    Raises:
        ZooError: the tokenizer has ids that the model has no row for.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer | None = None) -> None:
        rows = model.backbone.tokens.num_embeddings - model.backbone.tokens.spare
        if tokenizer is not None and tokenizer.vocab_size > rows:
            raise ZooError(
                f"the tokenizer has {tokenizer.vocab_size} ids but the model's vocabulary only {rows}: "
                "they do not belong together"
            )
        self.model = model.eval()
        self._tokenizer = tokenizer

    def __repr__(self) -> str:
        vocabulary = "no tokenizer" if self._tokenizer is None else f"a tokenizer of {self._tokenizer.vocab_size} ids"
        return f"Pretrained({self.config.kind}, {self.model.num_parameters:,} parameters, {vocabulary})"

    @property
    def config(self) -> ModelConfig:
        """What the model was built from."""
        return self.model.config

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer; raises ZooError where there is none."""
        if self._tokenizer is None:
            raise ZooError("this model has no tokenizer with it; give it one with zoo.Pretrained(model, tokenizer)")
        return self._tokenizer

    def __call__(self, **inputs: Any) -> dict[str, Tensor]:
        """Tensors in, logits by name of the head out; the inputs are those of the backbone's forward."""
        logits: dict[str, Tensor] = self.model(**inputs)
        return logits

    def fill(self, text: str, *, top: int | None = None, max_new_tokens: int | None = None) -> Filled:
        """Fills the blanks of a text.

            bert.fill("The capital of France is [MASK].").text
            t5.fill("The <extra_id_0> walks in <extra_id_1> park.").text

        Args:
            text: an encoder's has its mask token written out, an encoder-decoder's <extra_id_0>, <extra_id_1>, …
            top: candidates for each blank; None: 5. Encoders only: an encoder-decoder writes one text into each blank.
            max_new_tokens: tokens of all blanks together, at most; None: 64. Encoder-decoders only.

        Raises:
            ZooError: a decoder cannot fill. DataError: the text has no blank or is too long.
            ConfigError: a wrong number.
        """
        self._require("fill")
        if self.config.kind == "encoder":
            if max_new_tokens is not None:
                raise ConfigError("an encoder fills each mask with one token; leave it out", "max_new_tokens")
            return fill_masks(self.model, self.tokenizer, text, 5 if top is None else top)
        if top is not None:
            raise ConfigError("an encoder-decoder writes one text into each blank; leave it out", "top")
        return fill_spans(self.model, self.tokenizer, text, max_new_tokens)

    @overload
    def generate(self, prompt: str, **options: Any) -> str:
        """One prompt: one text."""

    @overload
    def generate(self, prompt: Sequence[str], **options: Any) -> list[str]:
        """Several prompts: as many texts."""

    def generate(
        self, prompt: str | Sequence[str], *, max_new_tokens: int | None = None, **sampling: Any
    ) -> str | list[str]:
        """What the model writes: a decoder goes on with the prompt, an encoder-decoder answers to it.

            gpt.generate("Once upon a time", max_new_tokens=100, temperature=0.8, top_p=0.9, seed=1)

        Args:
            prompt: one text, or several, which are worked on side by side. Special tokens written out are recognised. A
                decoder's may be empty where its tokenizer has a `begin` token.
            max_new_tokens: tokens to write at most; None: 64, or fewer where learned positions run out. A text also
                ends with the `end` token.
            sampling: fields of `zoo.generation.sample.SamplingConfig`: `temperature` (0, the default: greedy), `top_k`,
                `top_p`, `seed`. The i-th of several prompts draws numbers of its own, keyed by (seed, i).

        Returns:
            The new text without the prompt; a list where `prompt` is one.

        Raises:
            ZooError: an encoder cannot generate. DataError: a prompt is empty, has characters that the tokenizer does
                not know, or is too long. ConfigError: a wrong setting.
        """
        self._require("generate")
        texts = [prompt] if isinstance(prompt, str) else list(prompt)
        config, tokens = sampling_config(sampling), [self._prompt(text) for text in texts]
        written = generate(self.model, tokens, self._roles(), max_new_tokens=max_new_tokens, sampling=config)
        results = [
            text_of(self.tokenizer, row.tokens, self._context(before))
            for row, before in zip(written, tokens, strict=True)
        ]
        return results[0] if isinstance(prompt, str) else results

    def stream(self, prompt: str, *, max_new_tokens: int | None = None, **sampling: Any) -> Iterator[str]:
        """As `generate` for one prompt, but the text comes piece by piece while it is written.

        No piece splits a character, and all of them together are what `generate` returns. Wrong input raises at once.
        """
        self._require("generate")
        sampler = Sampler(sampling_config(sampling), [0])
        tokens, roles = self._prompt(prompt), self._roles()
        steps = generate_steps(self.model, [tokens], roles, sampler, max_new_tokens=max_new_tokens)
        text = TextStream(self.tokenizer, self._context(tokens))

        def pieces() -> Iterator[str]:
            for step in steps:
                token = int(step.tokens_B[0])
                if token not in roles.stop and (piece := text.push(token)):
                    yield piece
            if rest := text.finish():
                yield rest

        return pieces()

    def _prompt(self, text: str) -> list[int]:
        """The tokens of a prompt as in training: an encoder's input ends with the `end` token."""
        tokenizer = self.tokenizer
        tokens: list[int] = tokenizer.prompt(text).tolist()
        if self.config.kind == "encoder_decoder":
            if not tokens:
                raise DataError("the prompt is empty: an encoder-decoder needs a text to answer to")
            return [*tokens, tokenizer.role("end")]
        if not tokens and "begin" not in tokenizer.roles:
            raise DataError("the prompt is empty, and the tokenizer has no `begin` token to start from: write a word")
        return tokens or [tokenizer.role("begin")]

    def _context(self, prompt: list[int]) -> list[int]:
        """What the new text stands behind: a decoder's prompt; an encoder-decoder's output stands by itself."""
        return prompt if self.config.kind == "decoder" else []

    def _roles(self) -> TokenRoles:
        tokenizer = self.tokenizer
        stop = (tokenizer.roles["end"],) if "end" in tokenizer.roles else ()
        if self.config.kind == "encoder_decoder":
            return TokenRoles(tokenizer.vocab_size, tokenizer.role("padding"), stop)
        # Nothing sees a decoder's padding, so without a token for it any will do.
        return TokenRoles(tokenizer.vocab_size, tokenizer.roles.get("padding", 0), stop)

    def _require(self, ability: str) -> None:
        """Raises ZooError, with what can be done instead, where the family cannot do it."""
        kind = self.config.kind
        able = ABILITIES.get(kind, ())
        if ability not in able:
            others = " or ".join(f"an {name}" if name[0] in "aeiou" else f"a {name}" for name in _families(ability))
            instead = f"use {' or '.join(able)}" if able else "it takes and gives tensors"
            raise ZooError(f"model {kind!r} cannot {ability}; {instead}, or load {others}")


def sampling_config(sampling: dict[str, Any]) -> SamplingConfig:
    """The config of these fields; raises ConfigError on a field that is none, or a wrong value."""
    config: SamplingConfig = build(SamplingConfig, sampling)
    return config


def _families(ability: str) -> list[str]:
    return [family for family, abilities in ABILITIES.items() if ability in abilities]
