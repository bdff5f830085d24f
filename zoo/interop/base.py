"""What a mapping table is: how a foreign architecture's config and weight names stand for ours.

There is one table for each architecture and both directions come from it: `configs.py` reads and writes the config,
`weights.py` the tensors. A table says of each field of the foreign config whether it is read, must have one value, or
changes nothing; a field that it does not know is refused by name, because it may change what the model computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from zoo.errors import ConfigError, quoted
from zoo.heads.language_model import LanguageModelConfig
from zoo.interop.layouts import Layout, Stacked
from zoo.models import ModelConfig
from zoo.registry import Registry

Mapped = dict[str, Any]


class Field(NamedTuple):
    """One field of the foreign config that is read.

    Attributes:
        name: its name, dotted where it is nested.
        ours: dotted fields of our ModelConfig that all get its value; those of a head that the model lacks drop out.
        default: its value where the foreign config leaves it out.
        values: its legal values and what each is with us (a group of settings is set key by key); None: the same value.
    """

    name: str
    ours: tuple[str, ...]
    default: Any = None
    values: Mapping[Any, Any] | None = None


def variant(
    fields: tuple[Field, ...], defaults: Mapping[str, Any], *changed: Field, without: tuple[str, ...] = ()
) -> tuple[Field, ...]:
    """The fields of a relative: those of an architecture with other defaults, some replaced, some left out, by name."""
    others = {field.name: field for field in changed}
    strangers = {*defaults, *others, *without} - {field.name for field in fields}
    assert not strangers, f"there are no fields {strangers} to change"
    kept = (others.get(field.name, field) for field in fields if field.name not in without)
    return tuple(field._replace(default=defaults.get(field.name, field.default)) for field in kept)


AS_IT_IS = Stacked()


class Together(NamedTuple):
    """Fields of the foreign config that mean something with us only together (the sorts of layers and their window).

    Attributes:
        names: their names, dotted where they are nested.
        read: all fields of the foreign config, flattened, those left out with their defaults → settings of ours.
        write: our config → the fields.
        of_heads: whether they are settings of heads alone.
        ours: dotted fields of our ModelConfig, each with the one of these fields that it follows from; of a layer,
            what follows `layers.<slice>`. An error of ours is told by the name of that field.
    """

    names: tuple[str, ...]
    read: Callable[[Mapped], Mapped]
    write: Callable[[ModelConfig], Mapped]
    of_heads: bool = False
    ours: Mapping[str, str] = {}


class Rule(NamedTuple):
    """One foreign module and ours: each `weight` or `bias` that ours has is the foreign module's of that name.

    Attributes:
        foreign: dotted name of the module; `{layer}` or `{expert}` stands for a number.
        ours: dotted name of our module, or several that the foreign one holds together.
        layout: how the foreign one holds them; rows one after the other where nothing is said.
        also: further foreign modules that share these tensors.
        tensors: whether all these are names of tensors and not of modules.
    """

    foreign: str
    ours: tuple[str, ...]
    layout: Layout = AS_IT_IS
    also: tuple[str, ...] = ()
    tensors: bool = False


def under(foreign: str, ours: str, modules: Mapping[str, str], layout: Layout = AS_IT_IS) -> tuple[Rule, ...]:
    """Rules for modules that all lie under one foreign and one of our modules: foreign name → our name."""
    return tuple(Rule(f"{foreign}.{theirs}", (f"{ours}.{name}",), layout) for theirs, name in modules.items())


def current(config: Mapped) -> Mapped:
    """The foreign config of an architecture that has never renamed a field."""
    return config


def nothing(config: Mapped, names: Iterable[str]) -> list[str]:
    """The modules of an architecture whose files hold its model alone."""
    return []


def with_one_name(config: Mapped, others: Mapping[str, str]) -> Mapped:
    """The foreign config with one name for each number.

    Args:
        config: is changed.
        others: further names of fields → those that the table reads.

    Raises:
        ConfigError: two names of one number contradict each other; the error names both.
    """
    for other, name in others.items():
        if other in config:
            given = config.pop(other)
            if config.setdefault(name, given) != given:
                told = f"{quoted(given)} contradicts {name}={quoted(config[name])}; they are two names of one number"
                raise ConfigError(told, other)
    return config


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The mapping table of one foreign architecture.

    Attributes:
        name: what its config calls it (`model_type`).
        opens: the published models whose files it opens, by the names that people know.
        paper: where it was described.
        described: when: the year and the month ("2019-02"). Of several that take a model, the first is written.
        classes: foreign classes and which of our heads each has; the first is meant where a config names none.
        constant: settings of ours that hold for every model of it; its `heads` are those that any class has.
        fields: what is read from its config, one by one.
        together: what is read from several fields of its config at once.
        required: fields that must have one of these values where they are given.
        harmless: fields that do not change what a model computes, with all that stands in them.
        other_heads: those of them that say how heads are made that we do not have.
        weights: the rules for a config of ours.
        ignored: foreign tensors that hold no weight; numbers as in a rule.
        prefix: the module under which classes with a head hold the base model. Files of the base model, and some
            others, leave it out of their names: both spellings are read.
        pooler: the dense layer behind the first token that the base model has by its class, and that files of it may
            lack all the same: then our model has no such head. "": there is none.
        output: the output layer over the vocabulary where it is the token table in files that lack it, whatever their
            config says. "": the config alone says whether it is tied.
        optional: foreign modules of other classes of the architecture that files often hold all the same (BERT's
            pooler); where our model has no place for them they are left out, and `left_out` names them.
        apart: the foreign config and the names of the tensors in its files → modules of them that are no part of the
            model and that transformers leaves out, too. A note tells them.
        renamed: classes by the names that older files have for them, and today's names.
        refused: classes that do not open although transformers has them, and why.
        modernize: brings spellings of older versions into today's, and drops fields that repeat others.
        generation_defaults: ids that its files leave to its config class in transformers, though generation or a
            classifier reads them: field → what is meant where config.json has none.
    """

    name: str
    opens: str
    paper: str
    described: str
    classes: Mapping[str, tuple[str, ...]]
    constant: Mapped
    fields: tuple[Field, ...]
    required: Mapping[str, tuple[Any, ...]]
    harmless: frozenset[str]
    weights: Callable[[ModelConfig], tuple[Rule, ...]]
    together: tuple[Together, ...] = ()
    other_heads: frozenset[str] = frozenset()
    ignored: tuple[str, ...] = ()
    prefix: str = ""
    pooler: str = ""
    output: str = ""
    optional: tuple[str, ...] = ()
    apart: Callable[[Mapped, Iterable[str]], list[str]] = nothing
    renamed: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    modernize: Callable[[Mapped], Mapped] = current
    generation_defaults: Mapping[str, int] = field(default_factory=dict)


def fields_of_heads(table: Architecture) -> frozenset[str]:
    """Fields of the foreign config that say how heads are made: of a model without them they say how one would be."""
    alone = {field.name for field in table.fields if all(path.startswith("heads.") for path in field.ours)}
    return table.other_heads.union(alone, *(group.names for group in table.together if group.of_heads))


POOLER = "pooler"
"""Our head that base models may have."""


def is_base_model(config: ModelConfig) -> bool:
    """Whether a model has no head, or a pooler alone."""
    return {*config.heads} <= {POOLER}


def tied(config: ModelConfig) -> bool:
    """Whether a model has an output layer over the vocabulary that is the token table."""
    head = config.heads.get("language_model")
    return isinstance(head, LanguageModelConfig) and head.tied


ARCHITECTURES: Registry[Architecture] = Registry("architecture")
"""Foreign architectures by name."""


def all_known(name: Any, classes: Any, auto_map: Any = None) -> bool:
    """Whether a table describes an architecture and all classes of it that a config names.

    Args:
        name: model_type of the config.
        classes: its architectures.
        auto_map: its classes of models as "module.Class", which count where it has no architectures: one of them must
            be known.
    """
    if not isinstance(name, str) or name not in ARCHITECTURES:
        return False
    table = ARCHITECTURES[name]
    known = {*table.classes, *table.renamed, *table.refused}
    if isinstance(classes, list) and classes:
        return all(isinstance(one, str) and one in known for one in classes)
    said = auto_map.items() if isinstance(auto_map, dict) else ()
    models = [str(place).rpartition(".")[2] for kind, place in said if kind.startswith("AutoModel")]
    return not models or any(one in known for one in models)


ACTIVATION_NAMES = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
"""The foreign names of activations and ours; where two mean the same, the first is written."""

ATTENTION_BIASES = tuple(f"attention.{projection}_bias" for projection in ("query", "key", "value", "output"))
"""The four bias settings, for architectures that have all or none."""

# fmt: off
BOOKKEEPING = frozenset({
    "_attn_implementation", "_attn_implementation_autoset", "_attn_implementation_internal", "_commit_hash",
    "_flash_attn_2_enabled", "_name_or_path", "_num_labels", "architectures", "attn_implementation", "auto_map",
    "bos_token_id", "chunk_size_feed_forward", "custom_pipelines", "decoder_start_token_id", "dtype", "eos_token_id",
    "eos_token_ids",
    "finetuning_task", "gradient_checkpointing", "initializer_factor", "initializer_range", "language", "name",
    "output_attentions", "output_hidden_states", "output_past", "return_dict", "sbert_ce_default_activation_function",
    "sentence_transformers", "sep_token_id", "task_specific_params", "tf_legacy_loss", "tokenizer_class", "torch_dtype",
    "torchscript", "total_flos", "transformers.js_config", "transformers_version", "unsloth_fixed", "unsloth_version",
    "use_bfloat16", "use_cache",
})
GENERATION = frozenset({
    "bad_words_ids", "begin_suppress_tokens", "diversity_penalty", "do_sample", "early_stopping",
    "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id",
    "length_penalty", "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams",
    "num_return_sequences", "output_scores", "prefix", "remove_invalid_values", "repetition_penalty",
    "return_dict_in_generate", "suppress_tokens", "temperature", "top_k", "top_p", "typical_p",
})
# fmt: on
HARMLESS = BOOKKEEPING | GENERATION | {"rope_parameters.attn_factor"}
"""Fields that any foreign config may have and that do not change what a model computes.

The last is DeepSeek's and vLLM's name of a factor that transformers does not know: it reads `attention_factor`.
"""

LABELS = frozenset({"id2label", "label2id", "num_labels", "problem_type"})
"""Fields that any foreign config may have and that only heads with classes read (`labels.py`)."""

REQUIRED: Mapping[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "cross_attention_hidden_size": (None,),
    "is_decoder": (False,),
    "pruned_heads": ({},),
    "tie_encoder_decoder": (False,),
}
"""Values that any foreign config must have where it has the field."""
