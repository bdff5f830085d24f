"""mT5: Xue et al. 2020, arXiv:2010.11934. T5 v1.1 with a vocabulary of a hundred languages.

Its output layer is its own wherever a file has it, whatever `tie_word_embeddings` says: the published files say false,
and what transformers 5 saves says true, beside two different matrices or, where it made the model anew, one.
"""

from __future__ import annotations

from zoo.interop.base import ARCHITECTURES, HARMLESS, REQUIRED, Architecture, Field, Mapped
from zoo.interop.t5 import BOTH, FEED_FORWARDS, FIELDS, UNUSED, weights, without_repeats


def modernize(config: Mapped) -> Mapped:
    """No fields that repeat `feed_forward_proj`, and none that says nothing of the output layer."""
    return {**without_repeats(config, "gated-gelu"), "tie_word_embeddings": False}


MT5 = Architecture(
    name="mt5",
    opens="mT5",
    paper="arXiv:2010.11934",
    classes={"MT5ForConditionalGeneration": ("language_model",), "MT5Model": ()},
    constant=BOTH,
    fields=(
        Field("vocab_size", ("vocab_size",), 250112),
        Field("d_model", ("dim",), 512),
        Field("num_layers", ("num_layers",), 8),
        Field("num_decoder_layers", ("decoder.num_layers",)),
        Field("num_heads", ("num_heads",), 6),
        Field("d_kv", ("head_dim",), 64),
        Field("d_ff", ("feed_forward_dim",), 1024),
        Field("n_positions", ("max_length",), 1024),  # theirs has no such field; the rows of pretraining were so long
        Field("feed_forward_proj", ("feed_forward",), "gated-gelu", FEED_FORWARDS),
        Field("tie_word_embeddings", ("heads.language_model.tied",), False),
        *FIELDS,
    ),
    required={**REQUIRED, "is_encoder_decoder": (True,)},
    harmless=HARMLESS
    | {
        "classifier_dropout",  # of heads for fine-tuning
        "pad_token_id",  # has no special row
    },
    weights=weights,
    ignored=UNUSED,
    output="lm_head",
    modernize=modernize,
)
ARCHITECTURES.add(MT5.name, MT5)
