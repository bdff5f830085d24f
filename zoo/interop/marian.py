"""Marian: Junczys-Dowmunt et al. 2018, arXiv:1804.00344, as transformers holds the OPUS-MT models.

BART with sinusoids in place of learned positions and no norm after the embedding. Their tables of sinusoids may stand
in the files and are computed here.
"""

from __future__ import annotations

from zoo.errors import ConfigError
from zoo.interop.bart import BOTH, ENCODER_NAMES, FIELDS, weights
from zoo.interop.base import ARCHITECTURES, HARMLESS, REQUIRED, Architecture, Field, Mapped, with_one_name


def modernize(config: Mapped) -> Mapped:
    """One name for each number, and one vocabulary: both sides have the same table, or tables of one size."""
    vocab_size = config.get("vocab_size", 58101)
    if config.pop("decoder_vocab_size", None) not in (None, vocab_size):
        raise ConfigError(
            f"a vocabulary of its own is not covered; it must be vocab_size={vocab_size}", "decoder_vocab_size"
        )
    return with_one_name(config, ENCODER_NAMES)


MARIAN = Architecture(
    name="marian",
    opens="OPUS-MT",
    paper="arXiv:1804.00344",
    described="2018-04",
    classes={"MarianMTModel": ("language_model",), "MarianModel": ()},
    constant={**BOTH, "positions": {"kind": "sinusoidal", "layout": "half"}},
    fields=(
        Field("vocab_size", ("vocab_size",), 58101),
        Field("pad_token_id", ("embedding.padding_token",), 58100),
        Field("share_encoder_decoder_embeddings", ("share_tokens",), True),
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
        "normalize_embedding": (False,),
        "static_position_embeddings": (True,),
        "tie_word_embeddings": (True,),
    },
    harmless=HARMLESS
    | {
        "classif_dropout",  # of heads for fine-tuning, like the next one
        "classifier_dropout",
        "extra_pos_embeddings",  # never read
    },
    weights=weights,
    ignored=("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight"),
    modernize=modernize,
    prefix="model",
    generation_defaults={"forced_eos_token_id": 0},
)
ARCHITECTURES.add(MARIAN.name, MARIAN)
