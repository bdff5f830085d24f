"""mT5: Xue et al. 2020, arXiv:2010.11934. T5 v1.1 with a vocabulary of a hundred languages.

Its output layer is its own wherever a file has it, whatever `tie_word_embeddings` says: the published files say false,
and what transformers 5 saves says true, beside two different matrices or, where it made the model anew, one.
"""

from __future__ import annotations

from zoo.interop.base import ARCHITECTURES, Architecture, Mapped, variant
from zoo.interop.t5 import T5, weights, without_repeats


def modernize(config: Mapped) -> Mapped:
    """No fields that repeat `feed_forward_proj`, and none that says nothing of the output layer."""
    return {**without_repeats(config, "gated-gelu"), "tie_word_embeddings": False}


MT5 = Architecture(
    name="mt5",
    opens="mT5",
    paper="arXiv:2010.11934",
    described="2020-10",
    classes={name.replace("T5", "MT5"): heads for name, heads in T5.classes.items()},
    constant=T5.constant,
    fields=variant(
        T5.fields,
        {
            "vocab_size": 250112,
            "num_layers": 8,
            "num_heads": 6,
            "d_ff": 1024,
            "n_positions": 1024,  # theirs has no such field; the rows of pretraining were so long
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
        },
        without=("scale_decoder_outputs",),
    ),
    required=T5.required,
    harmless=T5.harmless,
    weights=weights,
    ignored=T5.ignored,
    output="lm_head",
    modernize=modernize,
    refused={name.replace("T5", "MT5"): reason for name, reason in T5.refused.items()},
    generation_defaults=T5.generation_defaults,
)
ARCHITECTURES.add(MT5.name, MT5)
