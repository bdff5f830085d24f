"""DistilBERT: Sanh et al. 2019, arXiv:1910.01108, with its heads.

BERT without segments and pooler. In training theirs drops nothing of attention's branch, where we drop as much as of
the feed-forward's: `dropout` is the only field that means a little more here.
"""

from __future__ import annotations

from zoo.interop.base import (
    ACTIVATION_NAMES,
    ARCHITECTURES,
    HARMLESS,
    REQUIRED,
    Architecture,
    Field,
    Rule,
    under,
)
from zoo.interop.bert import CLASSIFIERS
from zoo.models import ModelConfig

LAYER = {
    "attention.q_lin": "self_attention.sublayer.project.query",
    "attention.k_lin": "self_attention.sublayer.project.key",
    "attention.v_lin": "self_attention.sublayer.project.value",
    "attention.out_lin": "self_attention.sublayer.output",
    "sa_layer_norm": "self_attention.outer",
    "ffn.lin1": "feed_forward.sublayer.input",
    "ffn.lin2": "feed_forward.sublayer.output",
    "output_layer_norm": "feed_forward.outer",
}


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of DistilBERT is with us; the output layer is the token table."""
    shared = ("vocab_projector",) if "language_model" in config.heads else ()
    return (
        Rule("distilbert.embeddings.word_embeddings", ("backbone.embedding.tokens",), also=shared),
        Rule("distilbert.embeddings.position_embeddings", ("backbone.stack.schemes.0.table",)),
        Rule("distilbert.embeddings.LayerNorm", ("backbone.embedding.norm",)),
        *under("distilbert.transformer.layer.{layer}", "backbone.stack.blocks.{layer}", LAYER),
        Rule("vocab_transform", ("heads.language_model.transform.dense",)),
        Rule("vocab_layer_norm", ("heads.language_model.transform.norm",)),
        Rule("vocab_projector", ("heads.language_model",)),
        Rule("pre_classifier", ("heads.sequence_classification.transform.dense",)),
        *CLASSIFIERS,
    )


DISTILBERT = Architecture(
    name="distilbert",
    opens="DistilBERT",
    paper="arXiv:1910.01108",
    described="2019-10",
    classes={
        "DistilBertForMaskedLM": ("language_model",),
        "DistilBertForSequenceClassification": ("sequence_classification",),
        "DistilBertForTokenClassification": ("token_classification",),
        "DistilBertForQuestionAnswering": ("span_extraction",),
        "DistilBertModel": (),
    },
    constant={
        "kind": "encoder",
        "placement": "post",
        "norm": {"kind": "layer_norm", "eps": 1e-12},
        "positions": {"kind": "learned"},
        "feed_forward": {"kind": "plain"},
        "embedding": {"norm": True, "num_segments": 0},
        "heads": {
            "language_model": {"kind": "language_model", "tied": True, "bias": True},
            "sequence_classification": {
                "kind": "sequence_classification",
                "pooling": "first",
                "transform": {"activation": "relu"},
            },
            "token_classification": {"kind": "token_classification"},
            "span_extraction": {"kind": "span_extraction"},
        },
        "initialization": {"kind": "bert"},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 30522),
        Field("dim", ("dim",), 768),
        Field("n_layers", ("num_layers",), 6),
        Field("n_heads", ("num_heads",), 12),
        Field("hidden_dim", ("feed_forward_dim",), 3072),
        Field("max_position_embeddings", ("max_length",), 512),
        Field("pad_token_id", ("embedding.padding_token",), 0),
        Field("activation", ("feed_forward.activation", "heads.language_model.transform"), "gelu", ACTIVATION_NAMES),
        Field("dropout", ("dropout.embedding", "dropout.residual", "heads.token_classification.dropout"), 0.1),
        Field("seq_classif_dropout", ("heads.sequence_classification.dropout",), 0.2),
        Field("qa_dropout", ("heads.span_extraction.dropout",), 0.1),
        Field("attention_dropout", ("dropout.attention",), 0.1),
        Field("initializer_range", ("initialization.std",), 0.02),
    ),
    required={**REQUIRED, "is_encoder_decoder": (False,), "tie_word_embeddings": (True,)},
    harmless=HARMLESS
    | {
        "sinusoidal_pos_embds",  # how the table is drawn
        "tie_weights_",  # never read
    },
    weights=weights,
    ignored=("distilbert.embeddings.position_ids",),
    prefix="distilbert",
)
ARCHITECTURES.add(DISTILBERT.name, DISTILBERT)
