"""BERT: Devlin et al. 2018, arXiv:1810.04805, with the heads of pretraining and of labelled tasks.

The pooler belongs to the head that reads it; of a base model it is a head of its own.
"""

from __future__ import annotations

from zoo.interop.base import (
    ACTIVATION_NAMES,
    ARCHITECTURES,
    HARMLESS,
    POOLER,
    REQUIRED,
    Architecture,
    Field,
    Rule,
    under,
)
from zoo.interop.labels import classifier_dropout
from zoo.models import ModelConfig

CLASSIFIERS = (
    Rule("classifier", ("heads.sequence_classification.output",)),
    Rule("classifier", ("heads.token_classification.output",)),
    Rule("qa_outputs", ("heads.span_extraction.output",)),
)
"""The output layers of labelled tasks; one model has one of them."""
DROPOUTS = ("heads.sequence_classification.dropout", "heads.token_classification.dropout")

LAYER = {
    "attention.self.query": "self_attention.sublayer.project.query",
    "attention.self.key": "self_attention.sublayer.project.key",
    "attention.self.value": "self_attention.sublayer.project.value",
    "attention.output.dense": "self_attention.sublayer.output",
    "attention.output.LayerNorm": "self_attention.outer",
    "intermediate.dense": "feed_forward.sublayer.input",
    "output.dense": "feed_forward.sublayer.output",
    "output.LayerNorm": "feed_forward.outer",
}


def embeddings(base: str, output: tuple[str, ...]) -> tuple[Rule, ...]:
    """Rules for the tables and their norm under a base model of this name; `output` is the token table, too."""
    return (
        Rule(f"{base}.embeddings.word_embeddings", ("backbone.embedding.tokens",), also=output),
        Rule(f"{base}.embeddings.position_embeddings", ("backbone.stack.schemes.0.table",)),
        Rule(f"{base}.embeddings.token_type_embeddings", ("backbone.embedding.segments",)),
        Rule(f"{base}.embeddings.LayerNorm", ("backbone.embedding.norm",)),
    )


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of BERT is with us; the output layer is the token table, and its bias has two names."""
    has_output = "language_model" in config.heads
    shared = ("cls.predictions.decoder",) if has_output else ()
    return (
        *embeddings("bert", shared),
        *under("bert.encoder.layer.{layer}", "backbone.stack.blocks.{layer}", LAYER),
        Rule("cls.predictions.transform.dense", ("heads.language_model.transform.dense",)),
        Rule("cls.predictions.transform.LayerNorm", ("heads.language_model.transform.norm",)),
        Rule("cls.predictions", ("heads.language_model",), also=shared),
        Rule("bert.pooler.dense", ("heads.next_sentence.pooler",)),
        Rule("cls.seq_relationship", ("heads.next_sentence.classifier",)),
        Rule("bert.pooler.dense", ("heads.sequence_classification.transform.dense",)),
        Rule("bert.pooler.dense", ("heads.pooler.transform.dense",)),
        *CLASSIFIERS,
    )


BERT = Architecture(
    name="bert",
    opens="BERT, and sentence encoders made of it",
    paper="arXiv:1810.04805",
    described="2018-10",
    classes={
        "BertForPreTraining": ("language_model", "next_sentence"),
        "BertForMaskedLM": ("language_model",),
        "BertForNextSentencePrediction": ("next_sentence",),
        "BertForSequenceClassification": ("sequence_classification",),
        "BertForTokenClassification": ("token_classification",),
        "BertForQuestionAnswering": ("span_extraction",),
        "BertModel": (POOLER,),
    },
    constant={
        "kind": "encoder",
        "placement": "post",
        "norm": {"kind": "layer_norm"},
        "positions": {"kind": "learned"},
        "feed_forward": {"kind": "plain"},
        "embedding": {"norm": True},
        "heads": {
            "language_model": {"kind": "language_model", "tied": True, "bias": True},
            "next_sentence": {"kind": "next_sentence"},
            "pooler": {"kind": "pooler", "pooling": "first", "transform": {"activation": "tanh"}},
            "sequence_classification": {
                "kind": "sequence_classification",
                "pooling": "first",
                "transform": {"activation": "tanh"},
            },
            "token_classification": {"kind": "token_classification"},
            "span_extraction": {"kind": "span_extraction", "dropout": 0.0},
        },
        "initialization": {"kind": "bert"},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 30522),
        Field("hidden_size", ("dim",), 768),
        Field("num_hidden_layers", ("num_layers",), 12),
        Field("num_attention_heads", ("num_heads",), 12),
        Field("intermediate_size", ("feed_forward_dim",), 3072),
        Field("max_position_embeddings", ("max_length",), 512),
        Field("type_vocab_size", ("embedding.num_segments",), 2),
        Field("pad_token_id", ("embedding.padding_token",), 0),
        Field("hidden_act", ("feed_forward.activation", "heads.language_model.transform"), "gelu", ACTIVATION_NAMES),
        Field("layer_norm_eps", ("norm.eps",), 1e-12),
        Field("hidden_dropout_prob", ("dropout.embedding", "dropout.residual"), 0.1),
        Field("attention_probs_dropout_prob", ("dropout.attention",), 0.1),
        Field("initializer_range", ("initialization.std",), 0.02),
    ),
    required={
        **REQUIRED,
        "is_encoder_decoder": (False,),
        "position_embedding_type": ("absolute",),
        "tie_word_embeddings": (True,),
    },
    harmless=HARMLESS
    | {
        "directionality",  # never read; in the files of the multilingual models, like the next ones
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
    },
    weights=weights,
    together=(classifier_dropout(DROPOUTS),),
    ignored=("bert.embeddings.position_ids",),
    prefix="bert",
    pooler="bert.pooler.dense",
    optional=("bert.pooler.dense", "cls.seq_relationship"),
)
ARCHITECTURES.add(BERT.name, BERT)
