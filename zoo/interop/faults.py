"""What is wrong with a foreign config, all of it in one error.

Whoever opens a folder that does not fit wants to know at once whether it is one field or twenty. So each field is read
by itself, what is wrong is kept, and reading goes on with the field's default. What is refused only because of another
fault is not told: groups of fields and our own config are read last, from sound values.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from zoo.config import Config, build, flatten
from zoo.errors import ConfigError, cut
from zoo.field_types import check_value
from zoo.interop.base import Architecture, Field, Mapped, Together
from zoo.interop.kinds import check_kinds
from zoo.interop.rope import as_written
from zoo.models import ModelConfig
from zoo.registry import Choice

MOST_TOLD = 20
"""Of the fields that are wrong, how many are told with the reason; of the others the names."""
MOST_NAMED = 50
UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What arithmetic on several fields raises where one of them holds something that it never should."""


class Faults:
    """What is wrong with a foreign config, in the order in which it was found."""

    def __init__(self) -> None:
        self.errors: list[ConfigError] = []
        self._written: Mapped = {}

    @property
    def names(self) -> set[str]:
        """The fields at fault."""
        return {error.key for error in self.errors}

    def take(self, otherwise: Any, read: Callable[..., Any], *given: Any) -> Any:
        """What `read` makes of what is given; where it refuses that, the fault is kept and `otherwise` comes back."""
        try:
            return read(*given)
        except ConfigError as error:
            self.errors.append(error)
        return otherwise

    def modernized(self, table: Architecture, config: Mapping[str, Any]) -> Mapped:
        """The config in today's spelling, without the fields that hold nonsense or contradict others."""
        self._written, given = flatten(dict(config)), self.sound(config)
        while True:
            try:
                return table.modernize(copy.deepcopy(given))
            except ConfigError as error:
                self.errors.append(error)
                group = error.key.split(".")[0]
                if group not in given:  # what older fields mean cannot be told, so nothing behind them can either
                    self.refuse(table.name)
                del given[group]
            except UNREADABLE as error:
                self.errors.append(ConfigError(f"this is no config of {table.name}: {error}"))
                self.refuse(table.name)

    def sound(self, fields: Mapping[str, Any]) -> Mapped:
        """The fields without those that hold what they never should."""
        wrong = check_kinds(dict(fields))
        self.errors += wrong
        return {name: value for name, value in fields.items() if name not in {error.key for error in wrong}}

    def read_group(self, names: tuple[str, ...], read: Callable[[Mapped], Mapped], theirs: Mapped) -> Mapped:
        """The settings that several fields stand for together; none where they make no sense."""
        try:
            return read(theirs)
        except ConfigError as error:
            self.errors.append(error)
        except UNREADABLE as error:
            given = {name: theirs[name] for name in names if name in theirs}
            told = ", ".join(f"{name}={value!r}" for name, value in given.items())
            self.errors.append(ConfigError(f"{cut(told)} cannot be read ({error})", names[0]))
        return {}

    def refuse_ours(self, table: Architecture, error: ConfigError) -> NoReturn:
        """Raises what our own config refuses, by the foreign fields that it follows from."""
        theirs = {path: field.name for field in table.fields for path in field.ours}
        for group in table.together:
            theirs |= group.ours
        told: dict[str, ConfigError] = {}  # one of each foreign field: several settings of ours may follow from it
        for one in (ConfigError(error.reason, error.key), *error.others):
            path = one.key.split(".", 2)[2] if one.key.startswith("layers.") and one.key.count(".") > 1 else one.key
            name = self._as_written(theirs.get(path, one.key))
            reason = one.reason if name in (one.key, "") else f"{one.reason} ({name} is {one.key} here)"
            told.setdefault(name, ConfigError(reason, name))
        self.errors += told.values()
        self.refuse(table.name)

    def _as_written(self, name: str) -> str:
        return as_written(name, self._written)

    def raise_any(self, architecture: str) -> None:
        """Raises ConfigError with everything that is wrong, if anything is."""
        if self.errors:
            self.refuse(architecture)

    def refuse(self, architecture: str) -> NoReturn:
        """Raises ConfigError with everything that is wrong."""
        first: dict[str, ConfigError] = {}  # what else is said of a field follows from that
        for error in self.errors:
            first.setdefault(self._as_written(error.key) or str(error), error.renamed(self._as_written))
        told = [*first.values()]
        if len(told) == 1:
            raise told[0] from None
        lines = [f"\n  {error}" for error in told[:MOST_TOLD]]
        if others := [cut(error.key) for error in told[MOST_TOLD:]]:
            more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
            lines.append(f"\n  and so are {', '.join(others[:MOST_NAMED])}{more}")
        raise ConfigError(f"{len(told)} fields of this {architecture} are not covered:{''.join(lines)}") from None


# --------------------------------------------------------------------------------------------------------------- types


class Slot(NamedTuple):
    """What one of our settings may hold.

    Attributes:
        kind: its type. metadata: of the field, with its bounds.
    """

    kind: Any
    metadata: Mapping[str, Any]


def check_numbers(group: Together, theirs: Mapped, settings: Mapped) -> list[ConfigError]:
    """An error for each field of a group that became a setting of ours as it is, and is none; see `check_number`."""
    errors: dict[str, ConfigError] = {}
    for path, name in group.ours.items():
        if name in theirs and name not in errors and _at(settings, path) == theirs[name]:
            try:
                check_number(Field(name, (path,)), theirs[name], settings)
            except ConfigError as error:
                errors[name] = error
    return [*errors.values()]


def _at(settings: Any, path: str) -> Any:
    """What stands at a dotted path; None where nothing does."""
    for name in path.split("."):
        settings = settings.get(name) if isinstance(settings, dict) else None
    return settings


def check_number(field: Field, value: Any, settings: Mapped) -> None:
    """Raises ConfigError, by the foreign name, where a value is of a type or size that our setting never has.

    Args:
        field: that is read as it is. value: what the config says.
        settings: all that was read, which tells what the kinds around our setting are.
    """
    for path in field.ours if field.values is None else ():
        slot = find_slot(path, settings)
        if slot is not None:
            try:
                check_value(slot.kind, build(slot.kind, value), slot.metadata)
            except ConfigError as error:
                raise ConfigError(error.reason, field.name) from None


def find_slot(path: str, settings: Mapped) -> Slot | None:
    """Where a dotted path leads in our config; None where that depends on a kind that is not known yet."""
    slot, at = Slot(ModelConfig, {}), typing.cast(Any, settings)
    for name in path.split("."):
        arguments = typing.get_args(slot.kind)
        if typing.get_origin(slot.kind) is dict:
            slot = Slot(arguments[1], {})
        else:
            owner = _config_class(arguments or (slot.kind,), at)
            if owner is None or name not in _slots(owner):
                return None
            slot = _slots(owner)[name]
        at = at.get(name) if isinstance(at, dict) else None
    return slot


def _config_class(kinds: tuple[Any, ...], at: Any) -> type[Config] | None:
    """The config class among these types, by what the settings say of their kind."""
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Choice):
            said = at.get("kind", getattr(kind, "kind", None)) if isinstance(at, dict) else at
            return kind.choices[said] if isinstance(said, str) and said in kind.choices else None
        if isinstance(kind, type) and issubclass(kind, Config):
            return kind
    return None


def _read_slots(owner: type[Config]) -> dict[str, Slot]:
    hints = typing.get_type_hints(owner)
    return {field.name: Slot(hints[field.name], field.metadata) for field in dataclasses.fields(owner)}


_slots: Callable[[Any], dict[str, Slot]] = functools.cache(_read_slots)
