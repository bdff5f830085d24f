"""SentencePiece models give SentencePiece's ids, on real text."""

import gzip
import io
import json
from pathlib import Path

import pytest

from zoo.errors import DataError
from zoo.tokenizer.foreign import open_tokenizer
from zoo.tokenizer.sentencepiece import read_sentencepiece

sentencepiece = pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")

TEXT = [
    "The quick brown fox jumps over the lazy dog. ",
    "Pack my box with five dozen liquor jugs!",
    "café 你好 naïve ﬁne  two  spaces ",
    "It's 1984, isn't it? (1,234.50)",
    "the theme of the thesis is there, then",
]
STRANGE = ["", " ", "日本", "a🙂b", "  lead", "tail  ", "tab\tand\nline", "ﬁﬁ", "▁mark"]
MODELS = [
    {"model_type": "unigram"},
    {"model_type": "unigram", "byte_fallback": True},
    {"model_type": "unigram", "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    {"model_type": "unigram", "add_dummy_prefix": False, "user_defined_symbols": ["<sep>"]},
    {"model_type": "bpe"},
    {"model_type": "bpe", "byte_fallback": True},
    {"model_type": "bpe", "split_digits": True, "normalization_rule_name": "nmt_nfkc_cf"},
]


def trained(folder: Path, text: list[str] = TEXT, vocab_size: int = 130, **options: object) -> Path:
    """A model made by SentencePiece's own trainer."""
    size = vocab_size + (256 if options.get("byte_fallback") else 0)
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text * 9),
        model_writer=written,
        vocab_size=size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
        **options,
    )
    file = folder / "spiece.model"
    file.write_bytes(written.getvalue())
    return file


@pytest.mark.parametrize("options", MODELS, ids=lambda o: "-".join(f"{value}" for value in o.values()))
def test_ids_are_theirs(options: dict[str, object], tmp_path: Path) -> None:
    file = trained(tmp_path, **options)
    theirs, ours = sentencepiece.SentencePieceProcessor(model_file=str(file)), open_tokenizer(file)
    assert ours.vocab_size == theirs.vocab_size()
    for text in [*TEXT, *STRANGE]:
        ids = ours.encode(text).tolist()
        assert ids == theirs.encode(text), text
        if theirs.unk_id() not in ids:  # which they print as a sign of their own
            assert ours.decode(ids) == theirs.decode(ids), text


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_ids_are_theirs_on_novels(model_type: str, tmp_path: Path, shared_data: Path) -> None:
    with gzip.open(shared_data / "eltec_eng" / "valid.jsonl.gz", "rt", encoding="utf-8") as lines:
        text = [paragraph for line in lines for paragraph in json.loads(line)["paragraphs"]]
    file = trained(tmp_path, text[:300], 2_000, model_type=model_type)
    theirs, ours = sentencepiece.SentencePieceProcessor(model_file=str(file)), open_tokenizer(file)
    pairs = zip(ours.encode_batch(text[300:]), theirs.encode(text[300:]), strict=True)
    different = [(ids.tolist(), expected) for ids, expected in pairs if ids.tolist() != expected]
    assert len(different) <= (2 if model_type == "unigram" else 0)
    for ids, expected in different:  # they add scores up in float32, which makes a tie of what nearly is one
        assert sum(map(theirs.get_score, ids)) == pytest.approx(sum(map(theirs.get_score, expected)), abs=1e-3)


def test_t5_has_its_sentinels(tmp_path: Path) -> None:
    file = trained(tmp_path, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "T5Tokenizer", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"})
    )
    tokenizer = open_tokenizer(file)
    assert tokenizer.roles == {"padding": 0, "end": 1, "unknown": 2}
    assert tokenizer.sentinels == tuple(range(tokenizer.vocab_size - 1, tokenizer.vocab_size - 101, -1))


def test_damage_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken.model"
    broken.write_bytes(b"\xff\x00no protocol buffer")
    with pytest.raises(DataError, match=r"broken\.model"):
        read_sentencepiece(broken)
    with pytest.raises(DataError, match="unigram and bpe"):
        read_sentencepiece(trained(tmp_path, model_type="char"))
