"""RoBERTa: Liu et al. 2019, arXiv:1907.11692, with its heads.

BERT without the sentence pair. fairseq gave padding the position of its token id, so that position 0 is the row after
it: `max_position_embeddings` counts the rows of the table, ours the positions that are left.
"""

from __future__ import annotations

from zoo.errors import ConfigError
from zoo.interop.base import (
    ACTIVATION_NAMES,
    ARCHITECTURES,
    HARMLESS,
    POOLER,
    Architecture,
    Field,
    Mapped,
    Rule,
    Together,
    under,
    variant,
)
from zoo.interop.bert import BERT, DROPOUTS, LAYER, embeddings
from zoo.interop.labels import classifier_dropout
from zoo.models import ModelConfig
from zoo.nn.positions.learned import LearnedConfig


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of RoBERTa is with us; the output layer is the token table, and its bias has two names."""
    shared = ("lm_head.decoder",) if "language_model" in config.heads else ()
    return (
        *embeddings("roberta", shared),
        *under("roberta.encoder.layer.{layer}", "backbone.stack.blocks.{layer}", LAYER),
        Rule("lm_head.dense", ("heads.language_model.transform.dense",)),
        Rule("lm_head.layer_norm", ("heads.language_model.transform.norm",)),
        Rule("lm_head", ("heads.language_model",), also=shared),
        Rule("roberta.pooler.dense", ("heads.pooler.transform.dense",)),
        Rule("classifier.dense", ("heads.sequence_classification.transform.dense",)),
        Rule("classifier.out_proj", ("heads.sequence_classification.output",)),
        Rule("classifier", ("heads.token_classification.output",)),
        Rule("qa_outputs", ("heads.span_extraction.output",)),
    )


def read_positions(theirs: Mapped) -> Mapped:
    """Position 0 is the row behind that of the padding token."""
    padding, rows = theirs["pad_token_id"], theirs.get("max_position_embeddings", 512)
    if padding is None:
        raise ConfigError("null is not covered: positions are counted from it", "pad_token_id")
    offset = padding + 1
    if rows <= offset:
        raise ConfigError(
            f"{rows!r} leaves no position: it must be above pad_token_id + 1 = {offset}", "max_position_embeddings"
        )
    return {"max_length": rows - offset, "positions.offset": offset}


def write_positions(config: ModelConfig) -> Mapped:
    """The rows of the table; an offset that is not that of the padding token is found when this is read back."""
    positions = config.positions
    assert isinstance(positions, LearnedConfig)
    if config.embedding.padding_token is None:
        raise ConfigError(
            f"roberta counts positions from the padding token; set it to positions.offset − 1 = {positions.offset - 1}",
            "embedding.padding_token",
        )
    return {"max_position_embeddings": config.max_length + config.embedding.padding_token + 1}


HEADS = {name: head for name, head in BERT.constant["heads"].items() if name != "next_sentence"}
HEADS["language_model"] = {**HEADS["language_model"], "transform": "gelu"}

ROBERTA = Architecture(
    name="roberta",
    opens="RoBERTa",
    paper="arXiv:1907.11692",
    described="2019-07",
    classes={
        "RobertaForMaskedLM": ("language_model",),
        "RobertaForSequenceClassification": ("sequence_classification",),
        "RobertaForTokenClassification": ("token_classification",),
        "RobertaForQuestionAnswering": ("span_extraction",),
        "RobertaModel": (POOLER,),
    },
    constant={**BERT.constant, "heads": HEADS},
    fields=variant(
        BERT.fields,
        {"vocab_size": 50265, "pad_token_id": 1},
        Field("hidden_act", ("feed_forward.activation",), "gelu", ACTIVATION_NAMES),
        without=("max_position_embeddings",),
    ),
    required=BERT.required,
    harmless=HARMLESS,
    weights=weights,
    together=(
        Together(("max_position_embeddings",), read_positions, write_positions),
        classifier_dropout((*DROPOUTS, "heads.sequence_classification.transform.dropout")),
    ),
    ignored=("roberta.embeddings.position_ids",),
    prefix="roberta",
    pooler="roberta.pooler.dense",
    optional=("roberta.pooler.dense",),
)
ARCHITECTURES.add(ROBERTA.name, ROBERTA)
