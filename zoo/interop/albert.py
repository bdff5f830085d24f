"""ALBERT: Lan et al. 2019, arXiv:1909.11942, with its masked-LM and sentence-order heads.

Tables are narrower than the model, and layers share their weights: all of them, or neighbours in groups. The
sentence-order head is made as BERT's next-sentence head; what its two classes mean differs. `hidden_dropout_prob` is
ours after the feed-forward, too, as in the paper's code; transformers drops nothing there.
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
    Mapped,
    Rule,
    Together,
    under,
)
from zoo.interop.bert import CLASSIFIERS, DROPOUTS
from zoo.interop.labels import classifier_dropout
from zoo.models import ModelConfig

GROUP = "albert.encoder.albert_layer_groups.{layer}.albert_layers.0"
LAYER = {
    "attention.query": "self_attention.sublayer.project.query",
    "attention.key": "self_attention.sublayer.project.key",
    "attention.value": "self_attention.sublayer.project.value",
    "attention.dense": "self_attention.sublayer.output",
    "attention.LayerNorm": "self_attention.outer",
    "ffn": "feed_forward.sublayer.input",
    "ffn_output": "feed_forward.sublayer.output",
    "full_layer_layer_norm": "feed_forward.outer",
}


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of ALBERT is with us; the output layer is the token table, and its bias has two names."""
    shared = ("predictions.decoder",) if "language_model" in config.heads else ()
    return (
        Rule("albert.embeddings.word_embeddings", ("backbone.embedding.tokens",), also=shared),
        Rule("albert.embeddings.position_embeddings", ("backbone.stack.schemes.0.table",)),
        Rule("albert.embeddings.token_type_embeddings", ("backbone.embedding.segments",)),
        Rule("albert.embeddings.LayerNorm", ("backbone.embedding.norm",)),
        Rule("albert.encoder.embedding_hidden_mapping_in", ("backbone.embedding.projection",)),
        *under(GROUP, "backbone.stack.blocks.{layer}", LAYER),
        Rule("predictions.dense", ("heads.language_model.transform.dense",)),
        Rule("predictions.LayerNorm", ("heads.language_model.transform.norm",)),
        Rule("predictions", ("heads.language_model",), also=shared),
        Rule("albert.pooler", ("heads.next_sentence.pooler",)),
        Rule("sop_classifier.classifier", ("heads.next_sentence.classifier",)),
        Rule("albert.pooler", ("heads.sequence_classification.transform.dense",)),
        Rule("albert.pooler", ("heads.pooler.transform.dense",)),
        *CLASSIFIERS,
    )


def read_sharing(theirs: Mapped) -> Mapped:
    """How many groups of neighbours share their weights."""
    groups = theirs.get("num_hidden_groups", 1)
    if groups == theirs["num_hidden_layers"]:
        return {"sharing": {"kind": "none"}}
    return {"sharing": {"kind": "all"} if groups == 1 else {"kind": "sequence", "num_blocks": groups}}


def write_sharing(config: ModelConfig) -> Mapped:
    """The number of blocks with weights of their own."""
    return {"num_hidden_groups": len({*config.sharing.order(config.num_layers)})}


ALBERT = Architecture(
    name="albert",
    opens="ALBERT 1 and 2",
    paper="arXiv:1909.11942",
    described="2019-09",
    classes={
        "AlbertForPreTraining": ("language_model", "next_sentence"),
        "AlbertForMaskedLM": ("language_model",),
        "AlbertForSequenceClassification": ("sequence_classification",),
        "AlbertForTokenClassification": ("token_classification",),
        "AlbertForQuestionAnswering": ("span_extraction",),
        "AlbertModel": (POOLER,),
    },
    constant={
        "kind": "encoder",
        "placement": "post",
        "norm": {"kind": "layer_norm"},
        "positions": {"kind": "learned"},
        "feed_forward": {"kind": "plain"},
        "embedding": {"norm": True, "factorization": {"order": "sum", "bias": True}},
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
        Field("vocab_size", ("vocab_size",), 30000),
        Field("embedding_size", ("embedding.factorization.dim",), 128),
        Field("hidden_size", ("dim",), 4096),
        Field("num_hidden_layers", ("num_layers",), 12),
        Field("num_attention_heads", ("num_heads",), 64),
        Field("intermediate_size", ("feed_forward_dim",), 16384),
        Field("max_position_embeddings", ("max_length",), 512),
        Field("type_vocab_size", ("embedding.num_segments",), 2),
        Field("pad_token_id", ("embedding.padding_token",), 0),
        Field(
            "hidden_act",
            ("feed_forward.activation", "heads.language_model.transform"),
            "gelu_new",
            {"gelu_new": "gelu_tanh"} | ACTIVATION_NAMES,
        ),
        Field("layer_norm_eps", ("norm.eps",), 1e-12),
        Field("hidden_dropout_prob", ("dropout.embedding", "dropout.residual"), 0.0),
        Field("attention_probs_dropout_prob", ("dropout.attention",), 0.0),
        Field("initializer_range", ("initialization.std",), 0.02),
    ),
    required={
        **REQUIRED,
        "inner_group_num": (1,),
        "is_encoder_decoder": (False,),
        "layers_to_keep": ([],),  # never read
        "position_embedding_type": ("absolute",),
        "tie_word_embeddings": (True,),
    },
    harmless=HARMLESS
    | {
        "down_scale_factor",  # never read, like the next ones
        "gap_size",
        "net_structure_type",
        "num_memory_blocks",
    },
    weights=weights,
    together=(
        Together(("num_hidden_groups",), read_sharing, write_sharing, ours={"sharing.num_blocks": "num_hidden_groups"}),
        classifier_dropout(DROPOUTS, "classifier_dropout_prob", usual=0.1),
    ),
    ignored=("albert.embeddings.position_ids", "albert.embeddings.token_type_ids"),
    prefix="albert",
    pooler="albert.pooler",
    optional=("albert.pooler", "sop_classifier.classifier"),
)
ARCHITECTURES.add(ALBERT.name, ALBERT)
