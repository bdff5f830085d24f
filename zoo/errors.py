"""Everything that zoo raises on purpose.

One root, so that a caller can catch all of it; a child for each kind of mistake, so that a caller can tell them apart.
A message says what is wrong, with the value at fault, and what to do next.
"""

MOST_SHOWN = 120
"""Characters of a key or a value that a message quotes; a whole file may stand where a word was meant."""


def cut(text: str) -> str:
    """A text as a message shows it: its middle left out where it is long."""
    half = (MOST_SHOWN - 3) // 2
    return text if len(text) <= MOST_SHOWN else f"{text[:half]} … {text[-half:]}"


def quoted(value: object) -> str:
    """A value as a message quotes it: its repr, cut where it is long."""
    return cut(repr(value))


class ZooError(Exception):
    """The root of every error that zoo raises on purpose."""


class ConfigError(ZooError):
    """A setting is unknown, has the wrong type or value, or does not go together with another one.

    Args:
        reason: what is wrong and which values are legal, as one sentence.
        key: dotted path of the setting at fault, "" where the error is about the whole.
    """

    def __init__(self, reason: str, key: str = "") -> None:
        super().__init__(f"{cut(key)}: {reason}" if key else reason)
        self.reason = reason
        self.key = key

    def under(self, parent: str) -> "ConfigError":
        """The same error, its key read from one level further up."""
        return ConfigError(self.reason, ".".join(part for part in (parent, self.key) if part))


class DataError(ZooError):
    """A corpus, a token store or a tokenizer is missing, empty, damaged or does not fit what is asked of it."""


class TextError(DataError):
    """One of several texts cannot be taken.

    Args:
        reason: what is wrong, as one sentence.
        number: which of them, from 0; None: there is one only.
    """

    def __init__(self, reason: str, number: int | None = None) -> None:
        super().__init__(reason if number is None else f"text {number}: {reason}")
        self.reason = reason
        self.number = number

    def of(self, number: int) -> "TextError":
        """The same error, of one among several texts."""
        return TextError(self.reason, number)

    def __reduce__(self) -> tuple[type["TextError"], tuple[object, ...]]:
        return type(self), (self.reason, self.number)


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
