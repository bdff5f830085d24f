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
    Architecture,
    Field,
    Mapped,
    Rule,
    Together,
    under,
    variant,
)
from zoo.interop.bert import BERT, CLASSIFIERS, DROPOUTS, embeddings
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
        *embeddings("albert", shared),
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
    constant={**BERT.constant, "embedding": {"norm": True, "factorization": {"order": "sum", "bias": True}}},
    fields=(
        Field("embedding_size", ("embedding.factorization.dim",), 128),
        *variant(
            BERT.fields,
            {
                "vocab_size": 30000,
                "hidden_size": 4096,
                "num_attention_heads": 64,
                "intermediate_size": 16384,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
            },
            Field(
                "hidden_act",
                ("feed_forward.activation", "heads.language_model.transform"),
                "gelu_new",
                {"gelu_new": "gelu_tanh"} | ACTIVATION_NAMES,
            ),
        ),
    ),
    required={
        **BERT.required,
        "inner_group_num": (1,),
        "layers_to_keep": ([],),  # never read
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
