"""How long a run is, in the one unit that it was told: steps, tokens, floating-point operations or hours of training.

What is spent is counted step by step and saved with each checkpoint, so a run that was stopped ends where an unbroken
one does. Steps, tokens and operations are functions of the step (the data of step N is one), so they end a run at the
same step wherever it is run; hours are not, and two runs of as many hours do not have the same weights.

A token is one that goes into the model, padding not counted, encoder and decoder together: the log's `tokens`.
Operations are those of `zoo.models.flops`, forward and backward. Hours are those of training: validation, saving and
the time between a kill and the next start are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

from zoo.errors import ConfigError
from zoo.models.base import Model
from zoo.models.flops import RowShape, training_flops

Unit = Literal["steps", "tokens", "flops", "hours"]
UNITS: tuple[Unit, ...] = ("steps", "tokens", "flops", "hours")
WORDS: Mapping[Unit, str] = {"steps": "steps", "tokens": "tokens", "flops": "FLOPs", "hours": "hours"}


@dataclass
class Spent:
    """What a run has used up, or what one step of it uses.

    Attributes:
        steps: optimizer steps. tokens, flops: over all ranks.
        seconds: of training, by the clock of this rank.
        clock: of training, in seconds, as the first rank told all of them in the step that was last counted.
    """

    steps: int = 0
    tokens: int = 0
    flops: int = 0
    seconds: float = 0.0
    clock: float = 0.0

    def of(self, unit: Unit) -> float:
        """The amount in a unit; all ranks have the same."""
        amounts: dict[Unit, float] = {"steps": self.steps, "tokens": self.tokens, "flops": self.flops}
        return self.clock / 3600 if unit == "hours" else amounts[unit]


class Budget(NamedTuple):
    """An amount to be spent.

    Attributes:
        unit: of UNITS. limit: above 0; the run ends with the step that reaches it.
    """

    unit: Unit
    limit: float

    @property
    def key(self) -> str:
        """The setting that says it."""
        return f"max_{self.unit}"

    def __str__(self) -> str:
        return f"{self.key}={self.limit:.12g}"

    def is_spent(self, spent: Spent) -> bool:
        """Whether a run that used up so much is at its end."""
        return spent.of(self.unit) >= self.limit

    def steps_at_most(self) -> int | None:
        """Steps of the run where they are known beforehand."""
        return int(self.limit) if self.unit == "steps" else None


def the_budget(amounts: Mapping[Unit, float | None]) -> Budget:
    """The budget where exactly one unit has an amount; raises ConfigError, under its `max_…`, that names all others."""
    said = {unit: amount for unit, amount in amounts.items() if amount is not None}
    if len(said) != 1:
        keys = [f"max_{unit}" for unit in said or amounts]
        if not said:
            raise ConfigError(f"nothing says how long the run is; set one of trainer.{', trainer.'.join(keys)}")
        values = " and ".join(f"max_{unit}={amount:.12g}" for unit, amount in said.items())
        spare = " ".join(f"trainer.{key}=null" for key in keys[:-1])
        many = "both" if len(said) == 2 else "all"
        raise ConfigError(f"{values} {many} say how long the run is; keep one, for example with {spare}", keys[-1])
    ((unit, amount),) = said.items()
    return Budget(unit, amount)


class FlopCounter:
    """Floating-point operations of training on batches, in whole numbers: no split of a step changes their sum.

    Args:
        model: what is trained.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._rows: dict[tuple[int, int], int] = {}
        one, none = (training_flops(model, RowShape(1, 0, scored)) for scored in (1, 0))
        self.of_scored = round(one - none)
        """Operations for a position that goes through the output layer."""

    def of_rows(self, batches: Iterable[Mapping[str, Tensor]]) -> int:
        """Operations on the rows of these inputs, but for those of the output layer."""
        total = 0
        for inputs in batches:
            num_rows, length = inputs["tokens"].shape
            decoder = inputs.get("decoder_tokens")
            shape = (length, 0 if decoder is None else decoder.shape[1])
            if shape not in self._rows:
                self._rows[shape] = round(training_flops(self._model, RowShape(*shape, 0)))
            total += num_rows * self._rows[shape]
        return total
