"""T5 and T5 v1.1: Raffel et al. 2020, arXiv:1910.10683.

The relative biases of a stack are stored in its first layer. T5 ties the output layer to the token table and scales
what goes into it, v1.1 does neither; files say it by `tie_word_embeddings` or `scale_decoder_outputs`. transformers 5
ties what it makes anew, v1.1 too, and then writes no output layer: a file that lacks it is read as tied.
"""

from __future__ import annotations

from zoo.errors import ConfigError
from zoo.interop.bart import CLASSIFIER_DROPOUT, LAST_OF_DECODER
from zoo.interop.base import (
    ARCHITECTURES,
    HARMLESS,
    REQUIRED,
    Architecture,
    Field,
    Mapped,
    Rule,
    tied,
    under,
)
from zoo.interop.labels import SPAN
from zoo.models import ModelConfig

PROJECTIONS = {"q": "project.query", "k": "project.key", "v": "project.value", "o": "output"}
FEED_FORWARDS = {
    "relu": {"kind": "plain", "activation": "relu"},
    "gated-gelu": {"kind": "gated", "activation": "gelu_tanh"},
    "gated-relu": {"kind": "gated", "activation": "relu"},
    "gated-silu": {"kind": "gated", "activation": "silu"},
    "gated-swish": {"kind": "gated", "activation": "silu"},
    "gelu": {"kind": "plain", "activation": "gelu"},
    "gelu_new": {"kind": "plain", "activation": "gelu_tanh"},
    "silu": {"kind": "plain", "activation": "silu"},
}
UNUSED = ("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",)
"""Of cross-attention in the first released files; never used."""
ENCODER_ALONE = "it is an encoder without its decoder, and here T5 has both; open the whole model"
INNER_ACTIVATION = {"gated-gelu": "gelu_new"}
"""Where the name of the feed-forward does not end in that of its activation."""


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of T5 is with us; `wi` is the input projection, of a gated one `wi_1`, and `wi_0` its gate.

    Beside the classifier of texts the base model has a name of its own, as nowhere else.
    """
    gated = config.feed_forward.kind == "gated"
    base = "transformer." if "sequence_classification" in config.heads else ""
    tables = (f"{base}encoder.embed_tokens", f"{base}decoder.embed_tokens", *(("lm_head",) if tied(config) else ()))
    rules = [
        Rule(f"{base}shared", ("backbone.encoder_embedding.tokens",), also=tables),
        Rule("lm_head", ("heads.language_model.output",)),
        Rule("qa_outputs", ("heads.span_extraction.output",)),
        Rule("classification_head.dense", ("heads.sequence_classification.transform.dense",)),
        Rule("classification_head.out_proj", ("heads.sequence_classification.output",)),
    ]
    sublayers = {
        "encoder": {"SelfAttention": "self_attention", "DenseReluDense": "feed_forward"},
        "decoder": {
            "SelfAttention": "self_attention",
            "EncDecAttention": "cross_attention",
            "DenseReluDense": "feed_forward",
        },
    }
    inner = {"wi_0": "gate", "wi_1": "input", "wo": "output"} if gated else {"wi": "input", "wo": "output"}
    for stack, parts in sublayers.items():
        for index, (theirs, ours) in enumerate(parts.items()):
            layer, block = f"{base}{stack}.block.{{layer}}.layer.{index}", f"backbone.{stack}.blocks.{{layer}}.{ours}"
            modules = inner if ours == "feed_forward" else PROJECTIONS
            rules += under(f"{layer}.{theirs}", f"{block}.sublayer", modules)
            rules.append(Rule(f"{layer}.layer_norm", (f"{block}.before",)))
        bias = f"{base}{stack}.block.0.layer.0.SelfAttention.relative_attention_bias"
        rules.append(Rule(bias, (f"backbone.{stack}.schemes.0.table",)))
        rules.append(Rule(f"{base}{stack}.final_layer_norm", (f"backbone.{stack}.norm",)))
    return tuple(rules)


def modernize(config: Mapped) -> Mapped:
    """One signal for the output layer instead of two, and no fields that repeat `feed_forward_proj`."""
    is_tied = config.pop("tie_word_embeddings", True) is not False
    config.setdefault("scale_decoder_outputs", is_tied)
    config["tie_word_embeddings"] = config["scale_decoder_outputs"]
    return without_repeats(config, "relu")


def without_repeats(config: Mapped, usual: str) -> Mapped:
    """The config without the fields that repeat `feed_forward_proj`, whose default is given."""
    proj = str(config.get("feed_forward_proj", usual))
    repeats = {
        "is_gated_act": proj.startswith("gated-"),
        "dense_act_fn": INNER_ACTIVATION.get(proj, proj.removeprefix("gated-")),
    }
    for name, expected in repeats.items():
        if config.pop(name, expected) != expected:
            raise ConfigError(f"must be {expected!r}, as feed_forward_proj is {proj!r}", name)
    return config


T5 = Architecture(
    name="t5",
    opens="T5, T5 v1.1, Flan-T5",
    paper="arXiv:1910.10683",
    described="2019-10",
    classes={
        "T5ForConditionalGeneration": ("language_model",),
        "T5ForSequenceClassification": ("sequence_classification",),
        "T5ForQuestionAnswering": ("span_extraction",),
        "T5Model": (),
    },
    constant={
        "kind": "encoder_decoder",
        "placement": "pre",
        "norm": {"kind": "rms_norm"},
        "positions": {"kind": "relative"},
        "attention": {
            "query_bias": False,
            "key_bias": False,
            "value_bias": False,
            "output_bias": False,
            "scale": {"kind": "constant", "value": 1.0},
        },
        "feed_forward": {"bias": False},
        "heads": {
            "language_model": {"kind": "language_model"},
            "sequence_classification": LAST_OF_DECODER,
            "span_extraction": SPAN,
        },
        "initialization": {"kind": "t5"},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 32128),
        Field("d_model", ("dim",), 512),
        Field("num_layers", ("num_layers",), 6),
        Field("num_decoder_layers", ("decoder.num_layers",)),
        Field("num_heads", ("num_heads",), 8),
        Field("d_kv", ("head_dim",), 64),
        Field("d_ff", ("feed_forward_dim",), 2048),
        Field("n_positions", ("max_length",), 512),
        Field("feed_forward_proj", ("feed_forward",), "relu", FEED_FORWARDS),
        Field("tie_word_embeddings", ("heads.language_model.tied",), True),
        Field(
            "scale_decoder_outputs", ("heads.language_model.scale",), True, {True: "inverse_sqrt_dim", False: "none"}
        ),
        Field("relative_attention_num_buckets", ("positions.num_buckets",), 32),
        Field("relative_attention_max_distance", ("positions.max_distance",), 128),
        Field("layer_norm_epsilon", ("norm.eps",), 1e-6),
        Field(
            "dropout_rate",
            tuple(f"dropout.{place}" for place in ("embedding", "attention", "residual", "feed_forward", "final")),
            0.1,
        ),
        CLASSIFIER_DROPOUT,
        Field("initializer_factor", ("initialization.factor",), 1.0),
    ),
    required={**REQUIRED, "is_encoder_decoder": (True,)},
    harmless=HARMLESS
    | {
        "pad_token_id",  # has no special row
    },
    weights=weights,
    ignored=UNUSED,
    output="lm_head",
    renamed={"T5WithLMHeadModel": "T5ForConditionalGeneration"},
    modernize=modernize,
    refused={"T5EncoderModel": ENCODER_ALONE, "T5ForTokenClassification": ENCODER_ALONE},
    generation_defaults={"eos_token_id": 1},
)
ARCHITECTURES.add(T5.name, T5)
