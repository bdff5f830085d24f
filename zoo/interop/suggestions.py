"""What becomes of each setting in a foreign generation_config.json.

What transformers' `generate` does unasked is what these settings say. Here the ids that belong to a model are followed
(`usage.py`), and how to choose among tokens is left to whoever asks for a text: those settings are kept as the maker's
suggestions, told where a model comes in, and written again when it goes out. Where no option here does the same, that
is told too, as it is of names that nobody knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple


class Suggestion(NamedTuple):
    """A setting of transformers' `generate` that changes what is written.

    Attributes:
        idle: values with which it changes nothing.
        ours: the option of `generate` here that does the same; "": there is none.
    """

    idle: tuple[Any, ...] = ()
    ours: str = ""


SUGGESTIONS: Mapping[str, Suggestion] = {
    "do_sample": Suggestion((False,), "temperature"),
    "early_stopping": Suggestion((False,), "early_stopping"),
    "length_penalty": Suggestion((1.0,), "length_penalty"),
    "max_length": Suggestion((20,), "max_new_tokens"),
    "max_new_tokens": Suggestion((), "max_new_tokens"),
    "min_length": Suggestion((0,), "min_new_tokens"),
    "min_new_tokens": Suggestion((0,), "min_new_tokens"),
    "min_p": Suggestion((), "min_p"),
    "no_repeat_ngram_size": Suggestion((0,), "no_repeat_ngram_size"),
    "num_beams": Suggestion((1,), "num_beams"),
    "num_return_sequences": Suggestion((1,), "num_return"),
    "repetition_penalty": Suggestion((1.0,), "repetition_penalty"),
    "stop_strings": Suggestion(([],), "stop"),
    "temperature": Suggestion((1.0,), "temperature"),
    "top_k": Suggestion((0,), "top_k"),
    "top_p": Suggestion((1.0,), "top_p"),
    "typical_p": Suggestion((1.0,), "typical_p"),
    "cache_implementation": Suggestion(
        ("dynamic", "hybrid", "hybrid_chunked", "offloaded", "offloaded_static", "paged", "sliding_window", "static")
    ),
    "constraints": Suggestion(),
    "diversity_penalty": Suggestion((0.0,)),
    "dola_layers": Suggestion(),
    "encoder_no_repeat_ngram_size": Suggestion((0,)),
    "encoder_repetition_penalty": Suggestion((1.0,)),
    "epsilon_cutoff": Suggestion((0.0,)),
    "eta_cutoff": Suggestion((0.0,)),
    "exponential_decay_length_penalty": Suggestion(),
    "force_words_ids": Suggestion(),
    "forced_bos_token_id": Suggestion(),  # of a decoder; an encoder-decoder's is followed
    "guidance_scale": Suggestion((1.0,)),
    "max_time": Suggestion(),
    "num_beam_groups": Suggestion((1,)),
    "penalty_alpha": Suggestion((0.0,)),
    "renormalize_logits": Suggestion((False,)),
    "sequence_bias": Suggestion(),
    "token_healing": Suggestion((False,)),
    "top_h": Suggestion(),
    "watermarking_config": Suggestion(),
}
"""Settings of generation that a maker suggests: kept and written again, and never applied by themselves."""

# fmt: off
FOLLOWED = frozenset({
    "bad_words_ids", "begin_suppress_tokens", "bos_token_id", "decoder_start_token_id", "eos_token_id",
    "forced_bos_token_id", "forced_eos_token_id", "pad_token_id", "suppress_tokens",
})
"""Ids that belong to a model (`usage.py`)."""
IDLE = frozenset({
    "_commit_hash", "_from_model_config", "_original_object_hash", "assistant_confidence_threshold",
    "assistant_early_exit", "assistant_ensemble_weight", "assistant_lookbehind", "cache_config", "compile_config",
    "continuous_batching_config", "disable_compile", "is_assistant", "low_memory", "max_cache_len",
    "max_matching_ngram_size", "num_assistant_tokens", "num_assistant_tokens_schedule", "output_attentions",
    "output_hidden_states", "output_logits", "output_scores", "prefill_chunk_size", "prompt_lookup_num_tokens",
    "remove_invalid_values", "return_dict_in_generate", "speculation_type", "target_lookbehind",
    "transformers_version", "use_cache", "use_mtp",
})
# fmt: on
"""Settings of speed, memory and form, which change no text: assistants write what the model itself would write."""


def suggested(said: Mapping[str, Any], *, alone: bool) -> dict[str, Any]:
    """The settings that are kept as suggestions.

    Args:
        said: the content of the file that has them; null is nothing said.
        alone: whether it has settings of generation alone; else only those that are known are looked at.
    """
    given = {name: value for name, value in said.items() if value is not None and name not in FOLLOWED | IDLE}
    return {name: value for name, value in given.items() if alone or name in SUGGESTIONS}


class Told(NamedTuple):
    """A suggestion that would change a text.

    Attributes:
        written: as in the file, name=value.
        ours: the option of `generate` here that does it; "": there is none.
    """

    written: str
    ours: str


def told(suggestions: Mapping[str, Any] | None) -> list[Told]:
    """The suggestions that would change a text."""
    found = []
    for name, value in (suggestions or {}).items():
        known = SUGGESTIONS.get(name, Suggestion())
        if value not in known.idle:
            found.append(Told(f"{name}={json.dumps(value, ensure_ascii=False)}", known.ours))
    return found
