"""What the model writes at each validation, so that one can read how it gets better: `samples.jsonl` in the run folder.

The prompts are always the same, the config's own or pieces of the held-out text, and the text is the likeliest at each
token (greedy), so that two samples of a run differ by the weights alone. Nothing is drawn from a random stream.

    {"step": 200, "prompt": "The king ", "output": "of the", "truth": "was in his counting"}

A decoder goes on with the prompt; an encoder fills the [MASK]s, an encoder-decoder the <extra_id_N>s, and `output` is
then the whole text with the blanks filled.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.checkpoint.disk import disk_errors, replace_file
from zoo.config import Config, setting
from zoo.data.blend import Blend, portions_of
from zoo.data.corpus import Corpus
from zoo.data.rows import Integers
from zoo.data.split import Documents
from zoo.errors import ConfigError, ZooError
from zoo.generation.room import new_token_limits
from zoo.models.base import Model, ModelConfig
from zoo.pretrained import Pretrained
from zoo.tokenizer.tokenizer import Tokenizer

PROMPT_TOKENS, TEXT_TOKENS = 16, 40
"""Tokens of a prompt from the held-out text, and of a text with blanks, at most; never more than half a row."""
BLANK_EVERY = 8
"""Of the tokens of a text from the held-out text, every so many an encoder's is masked."""
SHOWN_CHARACTERS = 160
LANGUAGE_MODEL = "language_model"
"""The head that writes."""


@dataclass(frozen=True, kw_only=True)
class SamplesConfig(Config):
    """Texts that the model writes at each validation."""

    count: int = setting(
        3,
        "how many prompts are taken from the held-out text; a model without a language-model head has none",
        minimum=0,
    )
    prompts: tuple[str, ...] = setting(
        (), "prompts of your own, beside those: texts to go on with, or texts with [MASK] or <extra_id_0> in them"
    )
    max_new_tokens: int = setting(32, "tokens that are written at most; an encoder writes one in each blank", minimum=1)
    show: bool = setting(False, "whether they are shown in the terminal too")

    def check(self, model: ModelConfig, held_out: bool) -> None:
        """Raises ConfigError where a setting has no effect.

        Args:
            model: of the run. held_out: whether there are validations.
        """
        idle, why = ["max_new_tokens", "show"], ""
        if not held_out:
            idle, why = ["prompts", *idle], "data.validation_fraction is 0, so nothing is ever validated"
        elif LANGUAGE_MODEL not in model.heads:
            why = f"the model has no head {LANGUAGE_MODEL}, so it writes nothing"
        elif not self.count and not self.prompts:
            why = "samples.count is 0 and there are no samples.prompts, so nothing is written"
        elif model.kind == "encoder":
            idle, why = ["max_new_tokens"], "an encoder writes one token in each blank"
        if self.count and (not held_out or LANGUAGE_MODEL not in model.heads):  # 0 asks for none, and gets none
            idle = [*idle, "count"]
        for name in idle if why else ():
            value = getattr(self, name)
            if value != getattr(SamplesConfig, name):
                raise ConfigError(f"{value!r} has no effect: {why}; leave it out", name)


class Prompt(NamedTuple):
    """What the model is given, and what stands there in the held-out text; None: it is not from there."""

    text: str
    truth: str | None = None


class Samples:
    """The prompts of a run.

    Args:
        config: which.
        model: who is asked; not changed.
        tokenizer: its tokenizer.
        text: what is held out; of several sources the prompts are shared out, one each at least.

    Raises:
        ConfigError: a prompt of the config is none for this model.
    """

    def __init__(self, config: SamplesConfig, model: Model, tokenizer: Tokenizer, text: Documents | Blend) -> None:
        self.config = config
        self.model = model
        self.tokenizer = tokenizer
        self.prompts = [Prompt(text) for text in config.prompts]
        if LANGUAGE_MODEL in model.heads:
            make = {"decoder": _to_continue, "encoder": _with_masks, "encoder_decoder": _with_sentinels}
            length = min(PROMPT_TOKENS if model.config.kind == "decoder" else TEXT_TOKENS, model.config.max_length // 2)
            portions = portions_of(text)
            for portion in portions:
                count = -(-config.count // len(portions))
                for tokens in pieces(portion.documents, count, length + config.max_new_tokens):
                    self.prompts.append(make[model.config.kind](tokens, length, tokenizer))
        for number, prompt in enumerate(config.prompts):
            try:
                self._written(prompt, 1)
            except ZooError as error:
                raise ConfigError(str(error), f"samples.prompts.{number}") from None

    def write(self, precision: Callable[[], contextlib.AbstractContextManager[Any]]) -> Iterator[dict[str, Any]]:
        """What the model writes now: `prompt`, `output` and, from the held-out text, `truth`."""
        with precision():
            for prompt in self.prompts:
                output = self._written(prompt.text, self.config.max_new_tokens)
                row = {"prompt": prompt.text, "output": output}
                yield row if prompt.truth is None else {**row, "truth": prompt.truth}

    def _written(self, text: str, max_new_tokens: int) -> str:
        training = self.model.training
        try:
            asked = Pretrained(self.model, self.tokenizer)
            if self.model.config.kind == "encoder":
                return asked.fill(text, top=1).text
            length = len(self.tokenizer.prompt(text)) + (self.model.config.kind == "encoder_decoder")
            most = min(max_new_tokens, *new_token_limits(self.model, [max(length, 1)], None))
            if self.model.config.kind == "decoder":
                return asked.generate(text, max_new_tokens=most)
            return asked.fill(text, max_new_tokens=most).text
        finally:
            self.model.train(training)


def make_samples(config: SamplesConfig, model: Model, corpus: Corpus) -> Samples | None:
    """The samples of a run; None where nothing is held out, so that there are no validations."""
    text = corpus.validation
    return Samples(config, model, corpus.tokenizer, text) if text.num_documents else None


def pieces(documents: Documents, count: int, length: int) -> Iterator[Integers]:
    """`count` pieces of the text, of `length` tokens at most, from all over it: each from another document where there
    are so many, and from its start."""
    sizes = documents.stops - documents.starts
    ends = np.cumsum(sizes)
    count = min(count, int(ends[-1])) if len(ends) else 0
    for number in range(count):
        if len(sizes) >= count:
            start = documents.starts[number * len(sizes) // count]
        else:
            place = number * int(ends[-1]) // count
            document = int(np.searchsorted(ends, place, side="right"))
            start = documents.stops[document] - (ends[document] - place)
        stop = documents.stops[np.searchsorted(documents.stops, start, side="right")]
        yield np.asarray(documents.tokens[start : min(start + length, stop)], np.int64)


def _to_continue(tokens: Integers, length: int, tokenizer: Tokenizer) -> Prompt:
    """The beginning, and how it goes on; half and half where the text is short."""
    cut = max(1, min(length, len(tokens) // 2))
    return Prompt(tokenizer.decode(tokens[:cut]), tokenizer.decode(tokens[cut:]))


def _with_masks(tokens: Integers, length: int, tokenizer: Tokenizer) -> Prompt:
    """A text with single tokens masked, none next to another."""
    tokens = tokens[:length]
    hidden = tokens.copy()
    hidden[min(BLANK_EVERY // 2, len(tokens) - 1) :: BLANK_EVERY] = tokenizer.role("mask")
    return Prompt(tokenizer.decode(hidden, skip_special=False), tokenizer.decode(tokens))


def _with_sentinels(tokens: Integers, length: int, tokenizer: Tokenizer) -> Prompt:
    """A text with two spans of one to three tokens left out; a very short one has one."""
    tokens = tokens[:length]
    size = max(1, min(3, len(tokens) // 6))
    starts = [len(tokens) // 4, 5 * len(tokens) // 8] if len(tokens) >= 6 else [len(tokens) // 2]
    parts, before = [], 0
    for start, sentinel in zip(starts, tokenizer.sentinels, strict=False):
        parts += [tokens[before:start], [sentinel]]
        before = start + size
    hidden = np.concatenate([*parts, tokens[before:]]).astype(np.int64)
    return Prompt(tokenizer.decode(hidden, skip_special=False), tokenizer.decode(tokens))


class SamplesFile:
    """Appends to samples.jsonl; samples of later steps than `after_step` are dropped when it is opened."""

    def __init__(self, path: Path, after_step: int) -> None:
        self.path = path
        if not path.exists():
            return
        kept = [row for row in read_samples(path) if row["step"] <= after_step]
        replace_file(path, "".join(_line(row) for row in kept))

    def write(self, step: int, row: dict[str, Any]) -> None:
        """Appends one sample; raises CheckpointError where it cannot be written."""
        with disk_errors(f"write {self.path}"), self.path.open("a", encoding="utf-8") as file:
            file.write(_line({"step": step, **row}))


def read_samples(path: Path) -> list[dict[str, Any]]:
    """All samples of a run, oldest first; [] where there are none. A line torn by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # whole lines end with a line break
    return [json.loads(line) for line in lines]


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def in_one_line(row: dict[str, Any]) -> str:
    """A sample for the terminal."""
    text = " ".join(f"sample: {row['prompt']} → {row['output']}".split())
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
