"""BART: Lewis et al. 2019, arXiv:1910.13461.

Positions count from 2 in their table. The bias of the logits is a matrix of one row, and no parameter there: it stays
at zero in training.
"""

from __future__ import annotations

from zoo.interop.base import (
    ACTIVATION_NAMES,
    ARCHITECTURES,
    HARMLESS,
    LABELS,
    REQUIRED,
    Architecture,
    Field,
    Mapped,
    Rule,
    tied,
    under,
    with_one_name,
)
from zoo.interop.labels import SPAN
from zoo.interop.layouts import AsRow
from zoo.models import ModelConfig

PROJECTIONS = {"q_proj": "project.query", "k_proj": "project.key", "v_proj": "project.value", "out_proj": "output"}
SUBLAYERS = {
    "encoder": {"self_attn": "self_attention"},
    "decoder": {"self_attn": "self_attention", "encoder_attn": "cross_attention"},
}
FEED_FORWARD = {
    "fc1": "feed_forward.sublayer.input",
    "fc2": "feed_forward.sublayer.output",
    "final_layer_norm": "feed_forward.outer",
}


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of BART is with us, and of Marian, which lacks some."""
    rules = [
        *_token_tables(config),
        Rule("final_logits_bias", ("heads.language_model.bias",), AsRow(), tensors=True),
        Rule("qa_outputs", ("heads.span_extraction.output",)),
        Rule("classification_head.dense", ("heads.sequence_classification.transform.dense",)),
        Rule("classification_head.out_proj", ("heads.sequence_classification.output",)),
    ]
    for stack, attentions in SUBLAYERS.items():
        layer, block = f"model.{stack}.layers.{{layer}}", f"backbone.{stack}.blocks.{{layer}}"
        for theirs, ours in attentions.items():
            rules += under(f"{layer}.{theirs}", f"{block}.{ours}.sublayer", PROJECTIONS)
            rules.append(Rule(f"{layer}.{theirs}_layer_norm", (f"{block}.{ours}.outer",)))
        rules += under(layer, block, FEED_FORWARD)
        rules.append(Rule(f"model.{stack}.embed_positions", (f"backbone.{stack}.schemes.0.table",)))
        rules.append(Rule(f"model.{stack}.layernorm_embedding", (f"backbone.{stack}_embedding.norm",)))
    return tuple(rules)


def _token_tables(config: ModelConfig) -> tuple[Rule, ...]:
    """One table under four names, or one for each side (Marian)."""
    encoder, decoder = "model.encoder.embed_tokens", "model.decoder.embed_tokens"
    output = ("lm_head",) if tied(config) else ()
    if config.share_tokens:  # type: ignore[attr-defined]
        return (Rule("model.shared", ("backbone.encoder_embedding.tokens",), also=(encoder, decoder, *output)),)
    return (
        Rule(encoder, ("backbone.encoder_embedding.tokens",)),
        Rule(decoder, ("backbone.decoder_embedding.tokens",), also=output),
    )


BOTH: Mapped = {
    "kind": "encoder_decoder",
    "placement": "post",
    "norm": {"kind": "layer_norm", "eps": 1e-5},
    "feed_forward": {"kind": "plain"},
    "heads": {"language_model": {"kind": "language_model", "tied": True, "bias": True}},
    "initialization": {"kind": "bert"},
}
"""What holds for every BART and every Marian."""

FIELDS = (
    Field("d_model", ("dim",), 1024),
    Field("encoder_layers", ("num_layers",), 12),
    Field("decoder_layers", ("decoder.num_layers",), 12),
    Field("encoder_attention_heads", ("num_heads",), 16),
    Field("decoder_attention_heads", ("decoder.num_heads",), 16),
    Field("encoder_ffn_dim", ("feed_forward_dim",), 4096),
    Field("decoder_ffn_dim", ("decoder.feed_forward_dim",), 4096),
    Field("max_position_embeddings", ("max_length",), 1024),
    Field("activation_function", ("feed_forward.activation",), "gelu", ACTIVATION_NAMES),
    Field("scale_embedding", ("embedding.scale",), False, {False: "none", True: "sqrt_dim"}),
    Field("dropout", ("dropout.embedding", "dropout.residual"), 0.1),
    Field("attention_dropout", ("dropout.attention",), 0.0),
    Field("activation_dropout", ("dropout.feed_forward",), 0.0),
    Field("init_std", ("initialization.std",), 0.02),
)
"""What BART and Marian read alike."""

ENCODER_NAMES = {
    "hidden_size": "d_model",
    "num_attention_heads": "encoder_attention_heads",
    "num_hidden_layers": "encoder_layers",
}
"""Further names of numbers of the encoder, which transformers' config takes for them; most files have the last."""

CLASSIFIER_DROPOUT = Field(
    "classifier_dropout", tuple(f"heads.sequence_classification.{place}dropout" for place in ("", "transform.")), 0.0
)
"""It acts before both layers of the classifier."""

LAST_OF_DECODER: Mapped = {
    "kind": "sequence_classification",
    "pooling": "last",
    "transform": {"activation": "tanh"},
}
"""The decoder reads the input once more, one place later, and the state at its end token is classified."""


def modernize(config: Mapped) -> Mapped:
    """One name for each number, and the number of classes spelled out.

    Theirs has three, as its first published classifier, where none are given. Its class for question answering has
    two, begin and end, whatever its config says.
    """
    config = with_one_name(config, ENCODER_NAMES)
    if "BartForQuestionAnswering" in (config.get("architectures") or ()):
        return {name: value for name, value in config.items() if name not in LABELS}
    if config.get("id2label") is None:
        config.setdefault("num_labels", 3)
    return config


BART = Architecture(
    name="bart",
    opens="BART",
    paper="arXiv:1910.13461",
    described="2019-10",
    classes={
        "BartForConditionalGeneration": ("language_model",),
        "BartForSequenceClassification": ("sequence_classification",),
        "BartForQuestionAnswering": ("span_extraction",),
        "BartModel": (),
    },
    constant={
        **BOTH,
        "positions": {"kind": "learned", "offset": 2},
        "embedding": {"norm": True},
        "heads": {**BOTH["heads"], "sequence_classification": LAST_OF_DECODER, "span_extraction": SPAN},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 50265),
        Field("pad_token_id", ("embedding.padding_token",), 1),
        CLASSIFIER_DROPOUT,
        *FIELDS,
    ),
    required={
        **REQUIRED,
        "add_bias_logits": (False,),
        "add_final_layer_norm": (False,),
        "decoder_layerdrop": (0.0, 0),
        "encoder_layerdrop": (0.0, 0),
        "is_encoder_decoder": (True,),
        "normalize_before": (False,),
        "normalize_embedding": (True,),
        "static_position_embeddings": (False,),
        "tie_word_embeddings": (True,),
    },
    harmless=HARMLESS
    | {
        "classif_dropout",  # never read, like the next one
        "extra_pos_embeddings",
        "force_bos_token_to_be_generated",  # of generation: the older spelling of forced_bos_token_id
        "gradient_checkpointing",
        "replacing_rate",  # of its training, like the next ones
        "save_step",
        "student_decoder_layers",
        "student_encoder_layers",
    },
    weights=weights,
    modernize=modernize,
    prefix="model",
    refused={"BartForCausalLM": "it is a decoder without its encoder"},
    generation_defaults={"eos_token_id": 2, "forced_eos_token_id": 2},
)
ARCHITECTURES.add(BART.name, BART)
