"""Everything that zoo raises on purpose.

One root, so that a caller can catch all of it; a child for each kind of mistake, so that a caller can tell them apart.
A message says what is wrong, with the value at fault, and what to do next. What is wrong with several settings, or with
several texts, is one error that lists all of it.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from zoo.spelling import named_key

MOST_SHOWN = 120
"""Characters of a key or a value that a message quotes; a whole file may stand where a word was meant."""


def cut(text: str) -> str:
    """A text as a message shows it: its middle left out where it is long."""
    half = (MOST_SHOWN - 3) // 2
    return text if len(text) <= MOST_SHOWN else f"{text[:half]} … {text[-half:]}"


def quoted(value: object) -> str:
    """A value as a message quotes it: its repr, cut where it is long."""
    return cut(repr(value))


MOST_LISTED = 20
"""Of the things that are wrong, how many a message lists; it counts the others."""


def listed(what: str, told: Sequence[str]) -> str:
    """One message of several, a line for each: "3 settings are wrong", and which."""
    lines = [*told[:MOST_LISTED], *([f"and {len(told) - MOST_LISTED} more"] if len(told) > MOST_LISTED else [])]
    return f"{len(told)} {what}:\n  " + ";\n  ".join(lines)


class ZooError(Exception):
    """The root of every error that zoo raises on purpose."""


class ConfigError(ZooError):
    """A setting is unknown, has the wrong type or value, or does not go together with another one.

    Args:
        reason: what is wrong and which values are legal, as one sentence.
        key: dotted path of the setting at fault, "" where the error is about the whole; the message calls an option
            as `zoo.spelling` does.
        others: what else is wrong, with other settings.
        beside: what to say too, in the group of `key`, for example kind=text; the message gives its dotted path.
    """

    def __init__(self, reason: str, key: str = "", others: "Sequence[ConfigError]" = (), *, beside: str = "") -> None:
        told = f"{reason}; say {'.'.join([*key.split('.')[:-1], beside])} too" if beside else reason
        message = f"{cut(named_key(key))}: {told}" if key else told
        super().__init__(listed("settings are wrong", [message, *map(str, others)]) if others else message)
        self.reason = reason
        self.key = key
        self.others = tuple(others)
        self.beside = beside

    def under(self, parent: str) -> "ConfigError":
        """The same error, its key read from one level further up."""
        return self.renamed(lambda key: ".".join(part for part in (parent, key) if part))

    def renamed(self, rename: Callable[[str], str]) -> "ConfigError":
        """The same error with other keys, each made of what it is here."""
        others = [other.renamed(rename) for other in self.others]
        return ConfigError(self.reason, rename(self.key), others, beside=self.beside)

    def followed_by(self, words: str) -> "ConfigError":
        """The same error, its reason with `words` behind it."""
        return ConfigError(f"{self.reason}{words}", self.key, self.others, beside=self.beside)


class Collected:
    """What is wrong with several settings, to be raised together."""

    def __init__(self) -> None:
        self.errors: list[ConfigError] = []

    def add(self, reason: str, key: str) -> None:
        """One more: arguments as for ConfigError."""
        self.errors.append(ConfigError(reason, key))

    def take(self, error: ConfigError) -> None:
        """All that an error says."""
        self.errors += [ConfigError(error.reason, error.key, beside=error.beside), *error.others]

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """A block that may raise ConfigError, which is taken."""
        try:
            yield
        except ConfigError as error:
            self.take(error)

    def raise_any(self) -> None:
        """Raises one ConfigError with all that is wrong, if anything is."""
        if self.errors:
            first, *others = self.errors
            raise ConfigError(first.reason, first.key, others, beside=first.beside) from None


class DataError(ZooError):
    """A corpus, a token store or a tokenizer is missing, empty, damaged or does not fit what is asked of it."""


NO_TEXTS = "texts cannot be taken"


class TextError(DataError):
    """One of several texts cannot be taken.

    Args:
        reason: what is wrong, as one sentence.
        number: which of them, from 0; None: there is one only.
        others: what is wrong with other texts.
    """

    def __init__(self, reason: str, number: int | None = None, others: "Sequence[TextError]" = ()) -> None:
        message = reason if number is None else f"text {number}: {reason}"
        super().__init__(listed(NO_TEXTS, [message, *map(str, others)]) if others else message)
        self.reason = reason
        self.number = number
        self.others = tuple(others)

    def of(self, number: int) -> "TextError":
        """The same error, of one among several texts."""
        return TextError(self.reason, number)

    def __reduce__(self) -> tuple[type["TextError"], tuple[object, ...]]:
        return type(self), (self.reason, self.number, self.others)


class LengthError(TextError):
    """A text has more tokens than the model has learned positions.

    Args:
        reason, number: as of a `TextError`.
        length: of the text, in tokens. limit: how many positions there are.
    """

    def __init__(self, reason: str, number: int | None = None, length: int = 0, limit: int = 0) -> None:
        super().__init__(reason, number)
        self.length = length
        self.limit = limit

    def of(self, number: int) -> "TextError":
        """The same error, of one among several texts."""
        return LengthError(self.reason, number, self.length, self.limit)

    def __reduce__(self) -> tuple[type["TextError"], tuple[object, ...]]:
        return type(self), (self.reason, self.number, self.length, self.limit)


class CheckpointError(ZooError):
    """A checkpoint or a run folder is missing, damaged, or belongs to something else."""


class TrainingError(ZooError):
    """A run cannot go on: the loss is not finite, the ranks cannot share the batch out, and the like."""
