"""Tiny tokenizers of each family, in the files that transformers and its forerunners keep them in."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
import transformers
from tokenizers import models, pre_tokenizers, trainers

TEXT = [
    "The quick brown fox jumps over the lazy dog. ",
    "Pack my box with five dozen liquor jugs!",
    "café naïve it's 1984, isn't it? (1,234.50)",
    "the theme of the thesis is there, then",
]
PROBES = [*TEXT, "", "Two words", "the fox, the DOG and the jug", "quick  two spaces"]


def word_pieces() -> list[str]:
    """[PAD] [UNK] [CLS] [SEP] [MASK], then pieces."""
    library = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    text = [line.lower() for line in TEXT * 5]
    library.train_from_iterator(text, trainers.WordPieceTrainer(vocab_size=150, special_tokens=special))
    vocabulary = library.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)


def pairs(folder: Path, special: list[str]) -> None:
    """vocab.json and merges.txt of byte-level pairs."""
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=special, initial_alphabet=alphabet)
    library.train_from_iterator(TEXT * 5, trainer)
    library.model.save(str(folder))


def sentencepiece_model(path: Path, text: list[str] = TEXT, **options: Any) -> None:
    """A SentencePiece model."""
    import sentencepiece

    written = io.BytesIO()
    size = 130 + (256 if options.get("byte_fallback") else 0)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text * 9),
        model_writer=written,
        vocab_size=size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
        **options,
    )
    path.write_bytes(written.getvalue())


def _say(folder: Path, name: str, **content: Any) -> None:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def _bert(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(word_pieces()) + "\n", encoding="utf-8")
    _say(folder, "tokenizer_config.json", do_lower_case=True)
    _say(folder, "config.json", model_type="bert")


def _gpt2(folder: Path) -> None:
    pairs(folder, ["<|endoftext|>"])
    _say(folder, "config.json", model_type="gpt2")


def _roberta(folder: Path, model_type: str = "roberta") -> None:
    pairs(folder, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    _say(folder, "config.json", model_type=model_type)


def _t5(folder: Path) -> None:
    sentencepiece_model(folder / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    _say(folder, "config.json", model_type="t5", eos_token_id=1, pad_token_id=0, decoder_start_token_id=0)


def _albert(folder: Path) -> None:
    special = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1}
    sentencepiece_model(folder / "spiece.model", control_symbols=["[CLS]", "[SEP]", "[MASK]"], **special)
    _say(folder, "config.json", model_type="albert")


def _llama(folder: Path) -> None:
    sentencepiece_model(
        folder / "tokenizer.model",
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
    )
    _say(folder, "tokenizer_config.json", tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=False)
    _say(folder, "config.json", model_type="llama", bos_token_id=1, eos_token_id=2)


def _xlm_roberta(folder: Path) -> None:
    sentencepiece_model(folder / "sentencepiece.bpe.model")
    _say(folder, "tokenizer_config.json", tokenizer_class="XLMRobertaTokenizer")
    _say(folder, "config.json", model_type="xlm-roberta")


def _marian(folder: Path) -> None:
    sentencepiece_model(folder / "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    pieces = [model.id_to_piece(id) for id in range(3, model.vocab_size())]
    # Marian's own order: by how often a piece occurs in either language, and not by SentencePiece's ids.
    vocabulary = ["</s>", "<unk>", *sorted(pieces), "▁Fuchs", "▁Hund", ">>de<<", "<pad>"]
    _say(folder, "vocab.json", **{piece: id for id, piece in enumerate(vocabulary)})
    _say(folder, "tokenizer_config.json", source_lang="en", target_lang="de")
    last = len(vocabulary) - 1
    _say(folder, "config.json", model_type="marian", eos_token_id=0, pad_token_id=last, decoder_start_token_id=last)


GERMAN = ["Der schnelle braune Fuchs springt zum Hund.", "Über den Hund und die Füchse", "der Hund, die Hunde"]
"""What target.spm of `two_languages` is made of; its model lacks letters of the other and has some of its own."""


def two_languages(folder: Path) -> None:
    """Marian's files with a model of each language."""
    import sentencepiece

    pieces = set()
    for name, text in (("source.spm", TEXT), ("target.spm", GERMAN)):
        sentencepiece_model(folder / name, text)
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / name))
        pieces |= {model.id_to_piece(id) for id in range(3, model.vocab_size())}
    vocabulary = ["</s>", "<unk>", *sorted(pieces), ">>de<<", ">>pt_BR<<", "<pad>"]
    _say(folder, "vocab.json", **{piece: id for id, piece in enumerate(vocabulary)})
    _say(folder, "tokenizer_config.json", tokenizer_class="MarianTokenizer", source_lang="en", target_lang="de")


FAMILIES: dict[str, Callable[[Path], None]] = {
    "bert": _bert,
    "gpt2": _gpt2,
    "roberta": _roberta,
    "bart": lambda folder: _roberta(folder, "bart"),
    "t5": _t5,
    "albert": _albert,
    "llama": _llama,
    "xlm-roberta": _xlm_roberta,
    "marian": _marian,
}
"""Family → writes its older files into a folder."""


def theirs(folder: Path) -> Any:
    """What transformers opens there."""
    return transformers.AutoTokenizer.from_pretrained(str(folder))
