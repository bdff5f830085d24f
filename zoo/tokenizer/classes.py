"""transformers' tokenizer classes: which one opens a folder, and all that each takes for granted, a record a class.

A class is named by tokenizer_config.json or config.json, or else follows from the architecture. Most of them build the
tokenizer anew out of the vocabulary and their own settings, whatever tokenizer.json says of the rest; the generic one
(TokenizersBackend, formerly PreTrainedTokenizerFast) runs tokenizer.json as it is. Read from transformers 5.23
(models/auto/tokenization_auto.py and the classes' files).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tokenizers import processors

from zoo.registry import Registry
from zoo.tokenizer import pipelines
from zoo.tokenizer.framing import BEGINNING, NOTHING, Frame, template
from zoo.tokenizer.pipelines import Pipeline, Settings
from zoo.tokenizer.special_tokens import FAMILIES

PutAround = Callable[[Frame, Mapping[str, int], Settings], processors.PostProcessor]
"""A frame in tokens, the id of each and tokenizer_config.json → what puts them around a text."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenizerClass:
    """What zoo knows of one of transformers' tokenizer classes. Names are `stem_of` the names there.

    Attributes:
        names: under which `tokenizer_class` means it, its own first. Names that no class here has run tokenizer.json.
        model_types: of config.json, whose folders it opens where no class is named.
        overruling: those of them whose folders often name a wrong class: it opens them, whatever is named.
        older_names: other classes and model types whose older files, without a tokenizer.json, have its frame.
        tokens: the special tokens that it has where no file names them, role → token.
        recognised: whether a vocabulary that has all of these tokens is taken for one of its kind.
        frame: the roles that stand around a text.
        put_around: what it puts them there with, whatever tokenizer.json says of it; None: as tokenizer.json says.
        pipeline: normalizer, cuts and decoder, by tokenizer_config.json and the table of characters of a SentencePiece
            model; None: those of tokenizer.json.
        is_byte_level: whether vocab.json and merges.txt are enough for it, being pairs of bytes.
        is_shifted: whether its ids are not those of its SentencePiece model but XLM-RoBERTa's.
        has_sentinels: whether it has T5's <extra_id_…> where no file says so.
        finds_anywhere: whether it finds special tokens wherever they stand, whatever a file says of spaces around them.
        padding_side: where tokenizer_config.json says none.
        max_length: of a text where it says none; None: there is none.
        tells_segments: whether it says which of two texts a token is of, where that file does not say what it gives.
    """

    names: tuple[str, ...]
    model_types: tuple[str, ...] = ()
    overruling: tuple[str, ...] = ()
    older_names: tuple[str, ...] = ()
    tokens: Mapping[str, str] = field(default_factory=dict)
    recognised: bool = True
    frame: Frame = NOTHING
    put_around: PutAround | None = None
    pipeline: Callable[[Settings, bytes | None], Pipeline] | None = None
    is_byte_level: bool = False
    is_shifted: bool = False
    has_sentinels: bool = False
    finds_anywhere: bool = False
    padding_side: Literal["left", "right"] = "right"
    max_length: int | None = None
    tells_segments: bool = False


TOKENIZER_CLASSES: Registry[TokenizerClass] = Registry("tokenizer class")
"""By their own name."""


def _register(one: TokenizerClass) -> TokenizerClass:
    return TOKENIZER_CLASSES.add(one.names[0], one)


# -------------------------------------------------------------------------------------------------------------- records


def _template(tokens: Frame, ids: Mapping[str, int], settings: Settings) -> processors.PostProcessor:
    return template(tokens, ids)


def _roberta_processing(tokens: Frame, ids: Mapping[str, int], settings: Settings) -> processors.PostProcessor:
    (classify,), (separate,) = tokens.before, tokens.after
    spaced, trimmed = bool(settings.get("add_prefix_space", False)), bool(settings.get("trim_offsets", True))
    return processors.RobertaProcessing((separate, ids[separate]), (classify, ids[classify]), trimmed, spaced)


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
_ALBERT = {
    "padding": "<pad>",
    "unknown": "<unk>",
    "begin": "[CLS]",
    "end": "[SEP]",
    "classify": "[CLS]",
    "separate": "[SEP]",
    "mask": "[MASK]",
}

GENERIC = _register(
    TokenizerClass(names=("generic",), model_types=("mistral", "modernbert", "olmo2"), overruling=("modernbert",))
)
"""The class that runs tokenizer.json as it is."""
BERT = _register(
    TokenizerClass(
        names=("bert", "distilbert", "electra", "mobilebert"),
        model_types=("bert", "distilbert", "electra"),
        tokens=FAMILIES["bert"],
        frame=Frame(("classify",), ("separate",), (), ("separate",)),
        put_around=_template,
        pipeline=pipelines.word_pieces,
        tells_segments=True,
    )
)
GPT2 = _register(
    TokenizerClass(
        names=("gpt2",),
        model_types=("gpt2", "gpt_neo", "gptj", "opt"),
        tokens={"begin": _ENDOFTEXT, "end": _ENDOFTEXT},
        pipeline=pipelines.byte_level,
        is_byte_level=True,
    )
)
_register(
    TokenizerClass(
        names=("t5",),
        model_types=("t5", "mt5"),
        tokens=FAMILIES["t5"],
        frame=Frame((), ("end",), (), ("end",)),
        put_around=_template,
        pipeline=pipelines.t5,
        has_sentinels=True,
    )
)
MARIAN = _register(
    TokenizerClass(
        names=("marian",),
        model_types=("marian",),
        tokens=FAMILIES["t5"],
        frame=Frame((), ("end",), (), ("end",), ends_first=False),
        max_length=512,
    )
)
XLM_ROBERTA = _register(
    TokenizerClass(
        names=("xlmroberta",),
        model_types=("xlm-roberta",),
        tokens=_ROBERTA,
        frame=Frame(("begin",), ("end",), ("end",), ("end",)),
        put_around=_template,
        pipeline=pipelines.xlm_roberta,
        is_shifted=True,
    )
)
_register(
    TokenizerClass(
        names=("roberta", "bart", "longformer", "led"),
        model_types=("roberta", "bart", "longformer"),
        tokens=_ROBERTA,
        frame=Frame(("classify",), ("separate",), ("separate",), ("separate",), second_segment=0),
        put_around=_roberta_processing,
        pipeline=pipelines.byte_level,
        is_byte_level=True,
    )
)
_register(
    TokenizerClass(
        names=("gptneox",),
        model_types=("gpt_neox",),
        tokens={"padding": "<|padding|>", "begin": _ENDOFTEXT, "end": _ENDOFTEXT},
        recognised=False,  # Pythia's vocabulary has GPT-2's roles where nothing is said
        put_around=_template,
        pipeline=pipelines.gpt_neox,
        is_byte_level=True,
    )
)
_register(
    TokenizerClass(
        names=("qwen2",),
        model_types=("qwen2", "qwen3", "qwen2_moe", "qwen3_moe"),
        overruling=("qwen2",),
        tokens={"padding": _ENDOFTEXT, "end": _ENDOFTEXT},
        pipeline=pipelines.qwen2,
        is_byte_level=True,
        finds_anywhere=True,
    )
)
_register(
    TokenizerClass(
        names=("albert",),
        model_types=("albert",),
        tokens=_ALBERT,
        frame=Frame(("classify",), ("separate",), (), ("separate",)),
        pipeline=pipelines.albert,
    )
)
LLAMA = _register(
    TokenizerClass(
        names=("llama",),
        older_names=("mistral",),
        tokens={"begin": "<s>", "end": "</s>", "unknown": "<unk>"},
        frame=BEGINNING,
        pipeline=pipelines.llama,
        padding_side="left",
    )
)
_register(
    TokenizerClass(
        names=("gemma",),
        model_types=("gemma", "gemma2"),
        tokens={"begin": "<bos>", "end": "<eos>", "unknown": "<unk>", "padding": "<pad>"},
        frame=BEGINNING,
        pipeline=pipelines.gemma,
        padding_side="left",
    )
)


# -------------------------------------------------------------------------------------------------------------- choices


def stem_of(name: object) -> str:
    """A tokenizer_class in small letters without "Tokenizer" and "Fast"; "" where it is none, or the generic one."""
    if not isinstance(name, str) or name.startswith(("PreTrained", "Tokenizers", "PythonBackend")):
        return ""
    stem = name.removesuffix("Fast").removesuffix("Tokenizer")
    return "".join(character for character in stem.lower() if character.isalnum())


def class_of(tokenizer_config: Mapping[str, Any], model_config: Mapping[str, Any]) -> TokenizerClass:
    """The class that transformers opens a folder with, GENERIC included.

    Args:
        tokenizer_config, model_config: the content of tokenizer_config.json and config.json, {} where there is none.
    """
    classes = [one for _, one in TOKENIZER_CLASSES.items()]
    model_type = model_config.get("model_type")
    registered = next((one for one in classes if model_type in one.model_types), None)
    name = tokenizer_config.get("tokenizer_class") or model_config.get("tokenizer_class")
    if not name or (registered is not None and (registered is GENERIC or model_type in registered.overruling)):
        return registered or GENERIC
    return next((one for one in classes if stem_of(name) in one.names), GENERIC)


def older_name_of(tokenizer_config: Mapping[str, Any], model_config: Mapping[str, Any]) -> str:
    """The name by which `older_class` knows a folder: the class that is named, or else its model_type; "": neither."""
    name = tokenizer_config.get("tokenizer_class") or model_config.get("tokenizer_class")
    return stem_of(name) or stem_of(model_config.get("model_type"))


def older_class(name: str) -> TokenizerClass:
    """The class whose frame and sentinels the files of a folder have that are older than tokenizer.json.

    It is not always the one that opens the folder: where that is the generic one, it takes them from tokenizer.json.

    Args:
        name: as `older_name_of` gives it.
    """
    for _, one in TOKENIZER_CLASSES.items():
        if one is not GENERIC and name in (*one.names, *one.older_names, *map(stem_of, one.model_types)):
            return one
    return GENERIC


def shown_tokens(known: Mapping[str, int]) -> dict[str, str]:
    """The special tokens that a vocabulary shows, those of a family or a class, by having them all; {}: it shows none.

    Args:
        known: the vocabulary, token → id.
    """
    sets = [*FAMILIES.values(), *(one.tokens for _, one in TOKENIZER_CLASSES.items() if one.recognised and one.tokens)]
    # RoBERTa's tokens hold T5's: of those that fit, the most tokens are meant, and of equally many the last.
    fitting = sorted((tokens for tokens in sets if all(token in known for token in tokens.values())), key=len)
    return dict(fitting[-1]) if fitting else {}
