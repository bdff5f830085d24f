"""What the heads of labelled tasks share: a transform if wanted, dropout, and an output layer over a few classes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.heads.base import Head, HeadConfig, HeadShape
from zoo.heads.transform import TransformConfig, build_transform
from zoo.nn.linear import Linear, Site


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(HeadConfig):
    """logits = output(dropout(transform(hidden)))."""

    transform: TransformConfig | None = setting(None, "a dense layer with an activation before the output; null: none")
    dropout: float = setting(
        0.1, "probability of dropping an element of what the output layer reads", minimum=0, below=1, training_only=True
    )
    bias: bool = setting(True, "whether the output layer has a bias (GPT-2, Llama: not)", zero_adds_nothing=True)


@dataclass(frozen=True, kw_only=True)
class LabelledConfig(ClassifierConfig):
    """A classifier whose classes have names or numbers."""

    labels: int | tuple[str, ...] = setting(2, "the classes by name, or how many there are", minimum=1)

    def validate(self) -> None:
        """Refuses no classes, and two of one name."""
        if not isinstance(self.labels, tuple):
            return
        if not self.labels:
            raise ConfigError("has no entry; name at least one class", "labels")
        if twice := sorted({name for name in self.labels if self.labels.count(name) > 1}):
            raise ConfigError(f"names {', '.join(map(repr, twice))} more than once", "labels")

    @property
    def num_labels(self) -> int:
        """How many classes there are."""
        return self.labels if isinstance(self.labels, int) else len(self.labels)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes, made up where only their number is known."""
        return default_names(self.labels) if isinstance(self.labels, int) else self.labels


def default_names(count: int) -> tuple[str, ...]:
    """LABEL_0, LABEL_1, …, as transformers calls classes without names."""
    return tuple(f"LABEL_{number}" for number in range(count))


class Classifier(Head):
    """Hidden states to logits of a few classes, each by itself.

    Args:
        config: transform, dropout, bias.
        shape: what the model hands over.
        num_classes: how many logits there are.
    """

    def __init__(self, config: ClassifierConfig, shape: HeadShape, num_classes: int) -> None:
        super().__init__()
        self.transform = nn.Identity() if config.transform is None else build_transform(config.transform, shape)
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        self.output = Linear(shape.dim, num_classes, config.bias, site=Site("head_output"))

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) → (…, classes)."""
        return self.output(self.dropout(self.transform(hidden)))
