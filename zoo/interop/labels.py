"""The classes of labelled heads: `id2label` of a foreign config, and our `labels`.

Foreign configs have these fields whatever the model is for; only a head with classes reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.errors import ConfigError, cut, quoted
from zoo.heads import HeadConfig
from zoo.heads.classifier import LabelledConfig, default_names
from zoo.heads.span_extraction import SpanExtractionConfig
from zoo.interop.base import Mapped, Together
from zoo.models import ModelConfig

LABELLED = ("sequence_classification", "token_classification", "span_extraction")
"""Our heads for labelled tasks, by the names that they have in every table."""


LAST_TOKEN: Mapped = {"kind": "sequence_classification", "pooling": "last", "bias": False, "dropout": 0.0}
"""How decoders classify: one matrix on the last token."""


TOKENS: Mapped = {"kind": "token_classification"}
"""How decoders label tokens: a matrix and a bias on each."""
SPAN: Mapped = {"kind": "span_extraction", "dropout": 0.0}
"""How decoders mark begin and end: likewise, and nothing is dropped."""

SINGLE = "single_label_classification"
"""The `problem_type` of our classifiers: one class of several is right."""
PROBLEMS = (SINGLE, "multi_label_classification", "regression")
"""What a `problem_type` may be. It chooses the loss of training in transformers, and no logit depends on it."""

OF_DECODERS: Mapped = {"sequence_classification": LAST_TOKEN, "token_classification": TOKENS, "span_extraction": SPAN}


def read_labels(kind: str, config: Mapping[str, Any]) -> Mapped:
    """The settings of a head of this kind that say what its classes are.

    Args:
        kind: of the head.
        config: the foreign config.

    Raises:
        ConfigError: `id2label` is no list of distinct names from 0 on, or contradicts `num_labels`, or `problem_type`
            is none.
    """
    head = HeadConfig.choice(kind)
    if not issubclass(head, LabelledConfig | SpanExtractionConfig):
        return {}
    labels = _labels(config)
    count = labels if isinstance(labels, int) else len(labels)
    if kind == "sequence_classification" and (problem := config.get("problem_type")) not in (None, *PROBLEMS):
        told = f"{quoted(problem)} is no problem of classes; it must be {', '.join(map(repr, PROBLEMS))} or null"
        raise ConfigError(told, "problem_type")
    if issubclass(head, LabelledConfig):
        return {"labels": count if isinstance(labels, int) or labels == [*default_names(count)] else labels}
    if count != 2:
        raise ConfigError(f"{count} classes are not covered where begin and end are marked; they must be 2", "id2label")
    return {}


def write_labels(config: ModelConfig) -> Mapped:
    """The fields that say what the classes of our model are; none where it has no head with classes.

    The problem is that of a classifier of ours; of a model that came from a folder, what that says goes out again.
    """
    for head in config.heads.values():
        if isinstance(head, LabelledConfig):
            names = head.label_names
            problem = {"problem_type": SINGLE} if head.kind == "sequence_classification" else {}
            return {
                **problem,
                "id2label": {str(number): name for number, name in enumerate(names)},
                "label2id": {name: number for number, name in enumerate(names)},
            }
    return {}


def _labels(config: Mapping[str, Any]) -> int | list[str]:
    """The names of the classes in their order, or how many there are."""
    given, count = config.get("id2label"), config.get("num_labels")
    if count is not None and (type(count) is not int or count < 1):
        raise ConfigError(f"{quoted(count)} is no number of classes; it must be a whole number from 1 on", "num_labels")
    if given is None:
        return count or 2
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given.values()):
        raise ConfigError(f"must give each class a name, not {quoted(given)}", "id2label")
    numbers = {str(number): name for number, name in given.items()}
    if {*numbers} != {str(number) for number in range(len(numbers))}:
        raise ConfigError(f"must number its classes from 0 on, not {cut(', '.join(numbers))}", "id2label")
    if count is not None and count != len(numbers):
        raise ConfigError(f"{count!r} contradicts the {len(numbers)} classes of id2label", "num_labels")
    return [numbers[str(number)] for number in range(len(numbers))]


def classifier_dropout(
    paths: tuple[str, ...],
    name: str = "classifier_dropout",
    otherwise: str | float = "hidden_dropout_prob",
    usual: Any = None,
) -> Together:
    """The dropout before a classifier, which is that of the hidden states, or a constant, where it is not given.

    Args:
        paths: settings of ours that all get it; the first that a model has is written.
        name, usual: of the field, and its default.
        otherwise: the field that holds where it is null, or the value.
    """

    def read(theirs: Mapped) -> Mapped:
        given = theirs.get(name, usual)
        if given is None:
            given = theirs[otherwise] if isinstance(otherwise, str) else otherwise
        return dict.fromkeys(paths, given)

    def write(config: ModelConfig) -> Mapped:
        for path in paths:
            _, head, setting = path.split(".", 2)
            if head in config.heads and setting == "dropout":
                return {name: config.heads[head].dropout}  # type: ignore[attr-defined]
        return {}

    return Together((name,), read, write, of_heads=True, ours=dict.fromkeys(paths, name))


TOKEN_DROPOUT = classifier_dropout(("heads.token_classification.dropout",), otherwise=0.1)
"""The dropout before the labels of a decoder's tokens, where its config has no dropout of hidden states."""
