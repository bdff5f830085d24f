"""What weights and tokens do not say: how a checkpoint is meant to be used."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, NamedTuple

from zoo.errors import DataError
from zoo.generation.chat import ChatTemplate
from zoo.generation.roles import TokenRoles
from zoo.tokenizer.tokenizer import Tokenizer


class Conventions(NamedTuple):
    """How a model is meant to be used, as its folder says; the defaults are those of models that were trained here.

    Attributes:
        stop: ids that end a text, beside the tokenizer's `end` token where `end_stops`.
        start: what an encoder-decoder's output begins with; None: its padding token.
        prefix: ids that an encoder-decoder's output is made to begin with, behind `start` (BART: <s>).
        last: ids of which one ends an output that gets as long as it may (BART: </s>); (): whichever comes.
        barred: runs of ids that are never written (Marian: its padding token).
        barred_first: ids that are not written first, behind what an output is made to begin with.
        pooling: how `embed` makes one vector of a text, unless it is told.
        normalize: whether its vectors have length 1, unless it is told.
        prompt: what `embed` puts before each text, unless it is told.
        max_length: how many tokens of a text `embed` reads, special ones included, unless it is told; None: all.
        template: how a conversation is written as a text; None: it was not trained on conversations.
        suggestions: settings of generation that its maker suggests, by transformers' names; kept, never applied.
        end_stops: whether the tokenizer's `end` token ends a text, beside `stop`.
        carried: what the files of its foreign folder say that nothing here reads, such as the ids of special tokens:
            file → field → value, written again when the model goes out.
    """

    stop: tuple[int, ...] = ()
    start: int | None = None
    prefix: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    barred: tuple[tuple[int, ...], ...] = ()
    barred_first: tuple[int, ...] = ()
    pooling: str = "mean"
    normalize: bool = False
    template: ChatTemplate | None = None
    suggestions: Mapping[str, Any] | None = None
    end_stops: bool = True
    carried: Mapping[str, Mapping[str, Any]] | None = None
    prompt: str = ""
    max_length: int | None = None

    @classmethod
    def of(cls, usage: Mapping[str, Any], place: str) -> Conventions:
        """The conventions that plain data stands for, as `as_data` gives it; fields that are missing have defaults.

        Raises:
            DataError: the data of `place` is damaged.
        """
        given = dict(usage)
        for name in ("stop", "prefix", "last", "barred_first"):
            given[name] = tuple(given.get(name, ()))
        given["barred"] = tuple(tuple(run) for run in given.get("barred", ()))
        template = given.get("template")
        if isinstance(template, Mapping) and set(template) == {"source", "tokens"}:
            given["template"] = ChatTemplate(template["source"], template["tokens"])
        if unknown := sorted(set(given) - set(cls._fields)):
            raise DataError(f"{place} is damaged: it says {', '.join(unknown)}, which nobody knows")
        lists = (given["stop"], given["prefix"], given["last"], given["barred_first"], *given["barred"])
        ids = (given.get("start") or 0, *chain(*lists))
        fits = (
            all(type(id) is int and id >= 0 for id in ids)
            and all(given["barred"])
            and isinstance(given.get("pooling", ""), str)
            and isinstance(given.get("prompt", ""), str)
            and isinstance(given.get("normalize", False), bool)
            and (given.get("max_length") is None or (type(given["max_length"]) is int and given["max_length"] >= 1))
            and isinstance(given.get("template"), ChatTemplate | None)
            and isinstance(given.get("suggestions"), Mapping | None)
            and isinstance(given.get("end_stops", True), bool)
            and isinstance(given.get("carried"), Mapping | None)
            and all(isinstance(fields, Mapping) for fields in (given.get("carried") or {}).values())
        )
        if not fits:
            raise DataError(f"{place} is damaged: it must hold some of {', '.join(cls._fields)}")
        return cls(**given)

    def roles(self, tokenizer: Tokenizer, kind: str) -> TokenRoles:
        """What the ids of a model of this family are for where it writes, by its tokenizer and these conventions.

        Raises:
            DataError: nothing says what the output of an encoder-decoder begins with.
        """
        end = (tokenizer.roles["end"],) if self.end_stops and "end" in tokenizer.roles else ()
        # Nothing sees the padding of one stack, so without a token for it any will do.
        padding = tokenizer.roles.get("padding", 0)
        if kind == "encoder_decoder" and self.start is None:
            padding = tokenizer.role("padding")
        stop = tuple(dict.fromkeys((*end, *self.stop)))
        size = tokenizer.vocab_size  # no id from there on is ever written
        last = tuple(id for id in self.last if id < size)
        barred = tuple(run for run in self.barred if max(run) < size)
        first = tuple(id for id in self.barred_first if id < size)
        return TokenRoles(size, padding, stop, self.start, last, barred, first)

    def as_data(self) -> dict[str, Any]:
        """What differs from the defaults, as plain data."""
        given = {name: value for name, value in self._asdict().items() if value != self._field_defaults[name]}
        if self.template is not None:
            given["template"] = {"source": self.template.source, "tokens": dict(self.template.tokens)}
        return {name: _as_list(value) for name, value in given.items()}


def _as_list(value: Any) -> Any:
    return [_as_list(part) for part in value] if isinstance(value, tuple) else value
