"""A closed set of alternatives, chosen by name.

Two forms. A `Registry` maps names to plain objects (kernels, activations, norm placements). A `Choice` is the base of a
family of config dataclasses, each registered under its `kind`; a config field typed by the base takes any of them.
Names resolve here and nowhere else: no dotted import path is ever followed. A duplicate raises, a miss lists the legal
names and the nearest one.
"""

from __future__ import annotations

import difflib
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Generic, Self, TypeVar

from zoo.errors import ConfigError, quoted

T = TypeVar("T")

ELSEWHERE = {
    "lr": "learning_rate",
    "rope": "rotary",
    "cls": "first",
    "compare": "report",
    "train": "pretrain",
}
"""What others call things → the word for it here. It is said where that word is legal; nothing is translated."""

_REGISTRIES: weakref.WeakSet[Registry[Any]] = weakref.WeakSet()


def unknown_name(noun: str, name: object, legal: Iterable[str], meant: str | None = None) -> str:
    """One sentence that says that `name` is no `noun`, which name is nearest (or `meant`), and which are legal."""
    names = sorted(legal)
    meant = meant or meant_here(name, names)
    nearest = [meant] if meant else difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if not nearest:  # bpe → byte_level_bpe
        holding = [one for one in names if str(name) in one.split("_")]
        nearest = holding if len(holding) == 1 else []
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return f"unknown {noun} {quoted(name)}{hint} (legal: {', '.join(names) or 'none'})"


def meant_here(name: object, legal: Iterable[object]) -> str | None:
    """The legal word for what others call `name`; None: there is none."""
    word = ELSEWHERE.get(name) if isinstance(name, str) else None
    return word if word in legal else None


class Registry(Generic[T]):
    """Names of one noun ("kernel", "activation", …) and what each stands for."""

    def __init__(self, noun: str, entries: dict[str, T] | None = None) -> None:
        self.noun = noun
        self._entries: dict[str, T] = dict(entries or {})
        _REGISTRIES.add(self)

    def add(self, name: str, entry: T) -> T:
        """Register `entry` under `name`; raises ConfigError where the name is taken."""
        if name in self._entries:
            raise ConfigError(f"{self.noun} {name!r} is registered already; choose another name")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise ConfigError(unknown_name(self.noun, name, self._entries))
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def items(self) -> Iterable[tuple[str, T]]:
        """All (name, entry) pairs in the order of registration."""
        return self._entries.items()


class Choice:
    """Base of config dataclasses that are alternatives to each other.

    A direct subclass opens a family: `class PositionsConfig(Choice, noun="positions")`. A subclass of that one joins
    it: `class RotaryConfig(PositionsConfig, kind="rotary")`. A subclass without a `kind` is abstract.
    """

    kind: ClassVar[str]
    noun: ClassVar[str]
    choices: ClassVar[dict[str, type[Any]]]

    def __init_subclass__(cls, *, kind: str | None = None, noun: str | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if noun is not None:
            cls.noun = noun
            cls.choices = {}
        if kind is not None:
            if kind in cls.choices:
                raise ConfigError(f"{cls.noun} {kind!r} is registered already by {cls.choices[kind].__name__}")
            cls.kind = kind
            cls.choices[kind] = cls

    @classmethod
    def choice(cls, kind: object) -> type[Self]:
        """The config class registered under `kind`; raises ConfigError with the legal kinds."""
        if not isinstance(kind, str) or kind not in cls.choices:
            raise ConfigError(unknown_name(cls.noun, kind, cls.choices), "kind")
        return cls.choices[kind]


def tables() -> Iterator[tuple[str, dict[str, Any]]]:
    """(noun, entries by name) of every registry and every family of choices, as they are now."""
    for registry in sorted(_REGISTRIES, key=lambda one: one.noun):
        yield registry.noun, registry._entries
    yield from _families(Choice)


def _families(base: type[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for child in base.__subclasses__():
        if "choices" in vars(child):
            yield child.noun, child.choices
        yield from _families(child)
