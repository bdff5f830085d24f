"""Fields of a foreign config, changed: does our model change as transformers' does?

Every field that a table reads, and every other one of their config object that is neither harmless nor required, is
given other values, with whatever must change with it. Both sides read the same plain data, as from a config.json.

What acts in training only is compared in training, with dropout that is the same on both sides: everything it is given
times the share that it would keep (`shrinking_dropout`). So where and how much is dropped is compared as well.
"""

import copy
import functools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from tests.interop import classes
from tests.interop.cases import CASES, FIRST, LONGEST, VOCAB, as_saved
from tests.interop.parity import TOLERANCE, first_row, with_kernel
from tests.oracle import lifted, oracle_model, relative
from zoo.interop import ARCHITECTURES, read_config, to_zoo
from zoo.interop.base import LABELS
from zoo.interop.rope import SCALINGS
from zoo.models import Model

LEFT_OUT = object()
"""Stands for a field that config.json does not have."""
Plain = dict[str, Any]


class Change(NamedTuple):
    """What config.json says instead.

    Attributes:
        field: whose meaning is asked.
        values: fields → what they are changed to, by their dotted names: that of the field last.
        before: fields that must have other values than those of the case for the field to act, likewise.
    """

    field: str
    values: Mapping[str, Any]
    before: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        said = {name: "left out" if value is LEFT_OUT else value for name, value in self.values.items()}
        return f"{said}, before it {dict(self.before)}" if self.before else str(said)

    def applied(self, plain: Plain) -> tuple[Plain, Plain]:
        """The config before and after."""
        before = changed(plain, self.before)
        return before, changed(before, self.values)


def changed(plain: Plain, values: Mapping[str, Any]) -> Plain:
    """A config with other values of some fields."""
    plain = copy.deepcopy(plain)
    for name, value in values.items():
        *groups, last = name.split(".")
        group = plain
        for one in groups:
            group = group.setdefault(one, {})
        if value is LEFT_OUT:
            group.pop(last, None)
        else:
            group[last] = copy.deepcopy(value)
    return plain


# -------------------------------------------------------------------------------------------------------------- classes

HEAD_OF = {
    "classifier_pooling": "sequence_classification",
    "qa_dropout": "span_extraction",
    "seq_classif_dropout": "sequence_classification",
}
"""The head that a field is of, where the first class of an architecture has another."""


def class_for(architecture: str, field: str) -> str:
    """The foreign class that is compared for a field."""
    table = ARCHITECTURES[architecture]
    head = HEAD_OF.get(field)
    if field.startswith("classifier_dropout"):
        head = next(
            (name for name in ("token_classification", "sequence_classification") if name in table.constant["heads"]),
            None,
        )
    if head is None:
        head = "language_model"
    return next(name for name, heads in table.classes.items() if heads == (head,))


# --------------------------------------------------------------------------------------------------------------- values

ACTIVATIONS = ("relu", "gelu_new", "gelu", "silu", "tanh", "swish", "gelu_fast", "gelu_pytorch_tanh")
DERIVED = ("layer_types", "mlp_layer_types")
"""Lists in a config object that it makes of other fields, where they are not given."""
S, F = "sliding_attention", "full_attention"


def with_both(*names: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
    """The same values for several fields."""
    return [dict.fromkeys(names, value) for value in values]


SAID: Mapping[str, list[dict[str, Any]]] = {
    "bloom.seq_length": [{"seq_length": 34}],
    "classifier_dropout": [{"classifier_dropout": value} for value in (0.25, 0.4, None)],
    "classifier_pooling": [{"classifier_pooling": value} for value in ("mean", "cls")],
    "decoder_vocab_size": with_both("vocab_size", "decoder_vocab_size", values=(VOCAB + 1,)),
    "decoder_attention_heads": [{"decoder_attention_heads": value} for value in (1, 3)],
    "dense_act_fn": [
        {"feed_forward_proj": "gated-silu", "is_gated_act": True, "dense_act_fn": "silu"},
        {"feed_forward_proj": "relu", "is_gated_act": False, "dense_act_fn": "relu"},
    ],
    "feed_forward_proj": [
        {"is_gated_act": LEFT_OUT, "dense_act_fn": LEFT_OUT, "feed_forward_proj": value}
        for value in ("relu", "gelu", "gelu_new", "silu", "gated-gelu", "gated-relu", "gated-silu", "gated-swish")
    ],
    "global_attn_every_n_layers": [
        {"layer_types": LEFT_OUT, "global_attn_every_n_layers": value} for value in (1, 2, 4)
    ],
    "is_gated_act": [
        {"feed_forward_proj": "gated-relu", "dense_act_fn": "relu", "is_gated_act": True},
        {"feed_forward_proj": "relu", "dense_act_fn": "relu", "is_gated_act": False},
    ],
    "layer_types": [
        {"layer_types": LEFT_OUT},
        {"layer_types": None},
        *(
            {"num_hidden_layers": len(types), "layer_types": types}
            for types in ([F] * 2, [S] * 2, [S, F], [S, F, F, S])
        ),
    ],
    "max_position_embeddings": [{"max_position_embeddings": value} for value in (18, 34)],
    "max_window_layers": [{"layer_types": LEFT_OUT, "max_window_layers": value} for value in (0, 2, 3, 5)],
    "n_positions": [{"n_positions": value} for value in (18, 34)],
    "pad_token_id": [{"pad_token_id": value} for value in (1, 3, None)],
    "scale_decoder_outputs": [
        {"tie_word_embeddings": LEFT_OUT, "scale_decoder_outputs": value} for value in (True, False)
    ],
    "tie_word_embeddings": [
        {"scale_decoder_outputs": LEFT_OUT, "tie_word_embeddings": value} for value in (True, False)
    ],
    "type_vocab_size": [{"type_vocab_size": value} for value in (3, 4)],
    "use_sliding_window": [{"layer_types": LEFT_OUT, "use_sliding_window": value} for value in (False, None)],
    "vocab_size": [{"vocab_size": value} for value in (VOCAB + 1, 2 * VOCAB)],
    "deepseek_v3.n_group": [{"topk_group": 1, "n_group": value} for value in (1, 2)],
    "deepseek_v3.num_attention_heads": with_both("num_key_value_heads", "num_attention_heads", values=(2, 4)),
    "deepseek_v3.num_key_value_heads": with_both("num_attention_heads", "num_key_value_heads", values=(2, 4)),
    "deepseek_v3.head_dim": [{"qk_rope_head_dim": 4, "qk_head_dim": LEFT_OUT, "head_dim": 4}],
    "deepseek_v3.qk_head_dim": [{"qk_rope_head_dim": 4, "head_dim": LEFT_OUT, "qk_head_dim": 9}],
    "deepseek_v3.qk_nope_head_dim": [{"qk_head_dim": LEFT_OUT, "qk_nope_head_dim": value} for value in (3, 6)],
    "deepseek_v3.qk_rope_head_dim": [
        {"qk_head_dim": LEFT_OUT, "head_dim": LEFT_OUT, "qk_rope_head_dim": value} for value in (4, 10)
    ],
    "marian.vocab_size": with_both("decoder_vocab_size", "vocab_size", values=(VOCAB + 1,)),
    "olmo2.head_dim": [{"head_dim": value} for value in (4, 8)],
    "qwen2.head_dim": [{"head_dim": value} for value in (4, 8)],
}
"""What is tried of a field, of every architecture or of one; of all others it is what their present value suggests."""


def suggested(value: Any) -> list[Any]:
    """Other values of a field, by its present one; some may be refused there, or here."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [other for other in dict.fromkeys((value + 1, value * 2, value - 1, value // 2)) if other > 0]
    if isinstance(value, float):
        return [value * 1.5 + 0.25, value / 2]
    if isinstance(value, str):
        return [other for other in ACTIVATIONS if other != value]
    return []


def fields_of(architecture: str) -> list[str]:
    """Every field that the table of an architecture reads, and what else its config object has that may matter."""
    table = ARCHITECTURES[architecture]
    read = [field.name for field in table.fields] + [name for group in table.together for name in group.names]
    groups = {name.split(".")[0] for name in read if "." in name}
    known = {*table.harmless, *table.required, *LABELS, *groups, "model_type"}
    others = [name for name in CASES[FIRST[architecture]].config.to_dict() if name not in known]
    return [*dict.fromkeys([*read, *others])]


def changes(architecture: str, field: str) -> list[Change]:
    """What is tried of a field."""
    plain = plain_config(architecture, class_for(architecture, field))
    said = SAID.get(f"{architecture}.{field}", SAID.get(field))
    if said is not None:
        before = {}
        if field == "max_position_embeddings" and "rope_parameters.rope_type" in fields_of(architecture):
            before = {"rope_parameters": {**of_every_type(plain), "rope_type": "yarn", "factor": 2.0}}
        return [Change(field, values, before) for values in said]
    if field.startswith("rope_parameters.") and field.count(".") == 1:
        return [*of_rope(field, plain)]
    present: Any = plain
    for name in field.split("."):
        present = present.get(name) if isinstance(present, dict) else None
    derived = dict.fromkeys((name for name in DERIVED if name in plain), LEFT_OUT)
    derived = derived if field in ("num_hidden_layers", "first_k_dense_replace") else {}
    return [Change(field, {**derived, field: value}) for value in suggested(present)]


def of_rope(field: str, plain: Plain) -> Iterator[Change]:
    """A number of the rotation, changed under every `rope_type` that reads it; the type itself, to each."""
    name = field.removeprefix("rope_parameters.")
    for kind, numbers in numbers_of_rope(rotated(plain) // 2).items():
        group = {**of_every_type(plain), "rope_type": kind, **numbers}
        if name == "rope_type":
            yield Change(field, {"rope_parameters": group})
        elif name in BASE_OF_ROPE or name in SCALINGS[kind].names:
            if name in ("mscale", "mscale_all_dim"):
                group |= {"mscale": 0.7, "mscale_all_dim": 1.1}
            if name == "short_factor":  # of a model that was never made longer
                group["original_max_position_embeddings"] = plain["max_position_embeddings"]
            present = group.get(name, 1.0)
            others = [[2 * number for number in present]] if isinstance(present, list) else suggested(present)
            for other in others:
                if kind != "longrope" or name != LENGTH_OF_ROPE or other < LONGEST:
                    yield Change(field, {field: other}, {"rope_parameters": group})


def of_every_type(plain: Plain) -> dict[str, Any]:
    """What `rope_parameters` says whatever its type; of a small base, so that all channels turn within a few tokens."""
    share = {key: value for key, value in plain["rope_parameters"].items() if key == "partial_rotary_factor"}
    return {"rope_theta": 20.0, **share}


LENGTH_OF_ROPE = "original_max_position_embeddings"


def numbers_of_rope(half: int) -> dict[str, dict[str, Any]]:
    """The numbers of each type: those that it needs, and others that act with so few channels (`half`: of pairs)."""
    numbers: dict[str, dict[str, Any]] = {
        "default": {},
        "linear": {"factor": 2.0},
        "llama3": {"factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0},
        "yarn": {"factor": 2.0, "beta_fast": 0.8, "beta_slow": 0.3, "truncate": False},
        "longrope": {
            "short_factor": [1.0 + number / 8 for number in range(half)],
            "long_factor": [1.0 + number for number in range(half)],
        },
    }
    assert numbers.keys() == SCALINGS.keys()
    return {
        kind: {**of, **({LENGTH_OF_ROPE: 9} if LENGTH_OF_ROPE in SCALINGS[kind].names else {})}
        for kind, of in numbers.items()
    }


BASE_OF_ROPE = ("rope_theta", "partial_rotary_factor")
"""Numbers of the rotation that every type reads."""


def rotated(plain: Plain) -> int:
    """How many channels of a head rotate."""
    if "qk_rope_head_dim" in plain:
        return plain["qk_rope_head_dim"]  # type: ignore[no-any-return]
    head_dim = plain.get("head_dim") or plain["hidden_size"] // plain["num_attention_heads"]
    return int(head_dim * plain["rope_parameters"].get("partial_rotary_factor", 1.0))


# ----------------------------------------------------------------------------------------------------------- comparison


STRAYS = {"albert": "hidden_dropout_prob", "distilbert": "dropout"}
"""What drops in one more place here than there, as their tables say: 0 unless asked for, and then not in training."""

UNMOVED: Mapping[str, str] = {
    "init_std": "is how weights are drawn",
    "initializer_factor": "is how weights are drawn",
    "initializer_range": "is how weights are drawn",
    "pad_token_id": "keeps the gradient from a row; roberta counts positions from it",
    "albert.hidden_dropout_prob": "is compared in evaluation (STRAYS)",
    "bloom.seq_length": "bounds the rows, and theirs does not read it",
    "distilbert.dropout": "is compared in evaluation (STRAYS)",
    "modernbert.max_position_embeddings": "bounds the rows",
    "mt5.n_positions": "bounds the rows, and theirs does not read it",
    "mt5.tie_word_embeddings": "is not read: a file has an output layer or has none",
    "t5.n_positions": "bounds the rows, and theirs does not read it",
}
"""Reviewed: fields, of every architecture or of one, that move nothing in theirs, and why."""

TEN_DIGITS = 1e-11
"""How near `gelu_fast` is, whose constant has ten digits there."""


def why_unmoved(architecture: str, field: str) -> str | None:
    """Why a field moves nothing in theirs; None: it does."""
    return UNMOVED.get(
        f"{architecture}.{field}", None if (architecture, field) == ("roberta", "pad_token_id") else UNMOVED.get(field)
    )


def tolerance(change: Change) -> float:
    """What two models may differ by."""
    return TEN_DIGITS if "gelu_fast" in change.values.values() else TOLERANCE


@functools.cache
def plain_config(architecture: str, name: str) -> Plain:
    """The config.json of a class, of the size of the first case."""
    plain: Plain = classes.foreign_config(architecture, name).to_dict()
    stray = STRAYS.get(architecture)
    return plain if stray is None else {**plain, stray: 0.0}


def shrinking_dropout(given: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """The mean of what dropout leaves, without its factor; in place of `torch.nn.functional.dropout`."""
    return given * (1 - p) if training else given


@contextmanager
def running(model: nn.Module, evaluated: bool) -> Iterator[None]:
    """The model is in training unless it is to be evaluated, and drops by shares."""
    model.train(not evaluated)
    with torch.no_grad(), patch.object(functional, "dropout", shrinking_dropout):
        yield


def theirs(
    architecture: str, change: Change, plain: Plain, like: nn.Module | None = None
) -> tuple[nn.Module, Tensor | None]:
    """A foreign model, and what it says of the real places of a batch.

    Args:
        architecture: name of the table.
        change: what is asked.
        plain: the config of the model, before or after it.
        like: the model has the weights of this one, or says nothing where they do not fit; None: random ones.

    Raises:
        ValueError, StrictDataclassError: they refuse the config.
    """
    case, name = CASES[FIRST[architecture]], class_for(architecture, change.field)
    inputs, _, real = classes.batches(architecture, name, "right")
    moved = first_row(read_config(architecture, plain)) - first_row(classes.our_config(architecture, name))
    inputs = inputs | {key: ids + moved for key, ids in inputs.items() if key == "position_ids"}
    config = type(case.config).from_dict(copy.deepcopy(plain))
    with lifted():
        model: Any = oracle_model(getattr(transformers, name), config)
        case.mend(model)
        if like is not None and not with_weights_of(like, model):
            return model, None
        model.set_attn_implementation("eager")
        with running(model, STRAYS.get(architecture) == change.field):
            said = classes.said(model(**inputs))
    return model, said if said.ndim == 2 else said[real]


@torch.no_grad()
def with_weights_of(one: nn.Module, other: nn.Module) -> bool:
    """Gives a model the weights of another, if its own have the same shapes; tells whether they have."""
    pairs = [*zip_longest(one.parameters(), other.parameters())]
    if any(given is None or own is None or given.shape != own.shape for given, own in pairs):
        return False
    for given, own in pairs:
        own.copy_(given)
    return True


def distance(architecture: str, change: Change) -> float:
    """How far our model is from theirs where a config is changed, with the same weights.

    Raises:
        ConfigError: we do not cover the change. ValueError, StrictDataclassError: they do not.
    """
    name = class_for(architecture, change.field)
    _, plain = change.applied(plain_config(architecture, name))
    config = with_kernel(read_config(architecture, plain), "reference")
    foreign, expected = theirs(architecture, change, plain)
    model: Model = config.build_unset().double()
    model.load_state_dict(to_zoo(architecture, as_saved(foreign, foreign.state_dict()), plain))
    _, inputs, real = classes.batches(architecture, name, "right")
    with running(model, STRAYS.get(architecture) == change.field):
        said = model(**inputs)[classes.heads_of(architecture, name)[0]]
    said = said if said.ndim == 2 else said[real]
    assert expected is not None
    return relative(said, expected) if said.shape == expected.shape else math.inf


def moves(architecture: str, change: Change) -> float:
    """How far the change moves their model with the same weights; infinite where they have other shapes then."""
    before, after = change.applied(plain_config(architecture, class_for(architecture, change.field)))
    model, usual = theirs(architecture, change, before)
    _, said = theirs(architecture, change, after, model)
    return math.inf if said is None or usual is None else relative(said, usual)
