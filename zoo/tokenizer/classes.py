"""Which of transformers' tokenizer classes opens a folder, and what each takes for granted.

A class is named by tokenizer_config.json or config.json, or else follows from the architecture. Most of them build the
tokenizer anew out of the vocabulary and their own settings, whatever tokenizer.json says of the rest; the generic one
(TokenizersBackend, formerly PreTrainedTokenizerFast) runs tokenizer.json as it is. Read from transformers 5.23
(models/auto/tokenization_auto.py and the classes' files).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.tokenizer.special_tokens import FAMILIES

GENERIC = ""
"""The class that runs tokenizer.json as it is."""

REGISTERED: Mapping[str, str] = {
    "albert": "albert",
    **dict.fromkeys(("bert", "distilbert", "electra"), "bert"),
    **dict.fromkeys(("roberta", "bart", "longformer"), "roberta"),
    **dict.fromkeys(("gpt2", "gpt_neo", "gptj", "opt"), "gpt2"),
    "gpt_neox": "gptneox",
    **dict.fromkeys(("qwen2", "qwen3", "qwen2_moe", "qwen3_moe"), "qwen2"),
    **dict.fromkeys(("gemma", "gemma2"), "gemma"),
    **dict.fromkeys(("t5", "mt5"), "t5"),
    "xlm-roberta": "xlmroberta",
    "marian": "marian",
    **dict.fromkeys(("mistral", "modernbert", "olmo2"), GENERIC),
}
"""model_type of config.json → the class of that architecture, in our spelling. Llama, BLOOM and DeepSeek have none."""

CLASSES: Mapping[str, str] = {
    "albert": "albert",
    **dict.fromkeys(("bert", "distilbert", "electra", "mobilebert"), "bert"),
    **dict.fromkeys(("roberta", "bart", "longformer", "led"), "roberta"),
    "gpt2": "gpt2",
    "gptneox": "gptneox",
    "qwen2": "qwen2",
    "gemma": "gemma",
    "llama": "llama",
    "t5": "t5",
    "xlmroberta": "xlmroberta",
    "marian": "marian",
}
"""tokenizer_class, in small letters without "Tokenizer" and "Fast" → that class. Others run tokenizer.json here."""

OVERRULED = ("qwen2", "modernbert")
"""Architectures whose folders often name a wrong class: theirs is taken, whatever is named."""

_ENDOFTEXT = "<|endoftext|>"
_ROBERTA = {
    "begin": "<s>",
    "padding": "<pad>",
    "end": "</s>",
    "unknown": "<unk>",
    "classify": "<s>",
    "separate": "</s>",
    "mask": "<mask>",
}
TOKENS: Mapping[str, Mapping[str, str]] = {
    "bert": FAMILIES["bert"],
    "gpt2": {"begin": _ENDOFTEXT, "end": _ENDOFTEXT},
    "gptneox": {"padding": "<|padding|>", "begin": _ENDOFTEXT, "end": _ENDOFTEXT},
    "qwen2": {"padding": _ENDOFTEXT, "end": _ENDOFTEXT},
    "t5": FAMILIES["t5"],
    "marian": FAMILIES["t5"],
    "roberta": _ROBERTA,
    "xlmroberta": _ROBERTA,
    "albert": {
        "padding": "<pad>",
        "unknown": "<unk>",
        "begin": "[CLS]",
        "end": "[SEP]",
        "classify": "[CLS]",
        "separate": "[SEP]",
        "mask": "[MASK]",
    },
    "llama": {"begin": "<s>", "end": "</s>", "unknown": "<unk>"},
    "gemma": {"begin": "<bos>", "end": "<eos>", "unknown": "<unk>", "padding": "<pad>"},
}
"""The special tokens that a class has where no file names them: role → token."""
LEFT = ("llama", "gemma")
"""The classes that pad on the left where tokenizer_config.json says no side."""
PLAIN = ("qwen2",)
"""The classes that find their special tokens wherever they stand, whatever a file says of the spaces around them."""
SHOWN = (*FAMILIES.values(), *(TOKENS[kind] for kind in ("roberta", "albert", "llama", "gemma")))
"""The special tokens by which a vocabulary shows its family."""


def stem_of(name: object) -> str:
    """A tokenizer_class as CLASSES has it; "" where it is none, or the generic one."""
    if not isinstance(name, str) or name.startswith(("PreTrained", "Tokenizers", "PythonBackend")):
        return ""
    stem = name.removesuffix("Fast").removesuffix("Tokenizer")
    return "".join(character for character in stem.lower() if character.isalnum())


def class_of(tokenizer_config: Mapping[str, Any], model_config: Mapping[str, Any]) -> str:
    """The class that transformers opens a folder with, GENERIC included.

    Args:
        tokenizer_config, model_config: the content of tokenizer_config.json and config.json, {} where there is none.
    """
    kind = model_config.get("model_type")
    registered = REGISTERED.get(kind) if isinstance(kind, str) else None
    name = tokenizer_config.get("tokenizer_class") or model_config.get("tokenizer_class")
    if not name or (registered is not None and (registered == GENERIC or kind in OVERRULED)):
        return registered or GENERIC
    return CLASSES.get(stem_of(name), GENERIC)


def shown_tokens(known: Mapping[str, int]) -> dict[str, str]:
    """The special tokens of the family that a vocabulary shows, by having all of them; {} where it shows none.

    Args:
        known: the vocabulary, token → id.
    """
    # RoBERTa's tokens hold T5's: of the families that fit, the one with the most tokens is meant.
    families = sorted((family for family in SHOWN if all(token in known for token in family.values())), key=len)
    return dict(families[-1]) if families else {}
