"""One tokenizer object: saving, roles, sentences, and files that are not what they say."""

import contextlib
import json
import multiprocessing
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models

from zoo.errors import ConfigError, DataError
from zoo.tokenizer.special_tokens import SpecialTokens
from zoo.tokenizer.tokenizer import Tokenizer
from zoo.tokenizer.train import (
    ByteLevelBPEConfig,
    BytesConfig,
    CharactersConfig,
    FileConfig,
    UnigramConfig,
    WordPieceConfig,
)

TEXTS = ["One two three. Four five six!  Seven, eight?\n\nNine ten.", "Just one", "A. B. C."] * 5


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return ByteLevelBPEConfig(vocab_size=300).train(TEXTS)


def test_saving_and_pickling_change_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for each in (tokenizer, UnigramConfig(vocab_size=200).train(TEXTS), CharactersConfig().train(TEXTS)):
        each.save(tmp_path)
        for copy in (Tokenizer.load(tmp_path), pickle.loads(pickle.dumps(each))):
            assert copy.fingerprint == each.fingerprint
            assert (copy.vocab_size, copy.roles, copy.sentinels) == (each.vocab_size, each.roles, each.sentinels)
            assert [ids.tolist() for ids in copy.encode_batch(TEXTS)] == [
                ids.tolist() for ids in each.encode_batch(TEXTS)
            ]
        assert copy.encode("<|endoftext|>" if each is tokenizer else "A.").tolist()[0] not in copy.special_ids


def test_encoding_gives_int64_and_a_batch_is_its_texts(tokenizer: Tokenizer) -> None:
    batch = tokenizer.encode_batch(["", *TEXTS])
    assert all(ids.dtype == np.int64 for ids in batch)
    assert [ids.tolist() for ids in batch] == [tokenizer.encode(text).tolist() for text in ["", *TEXTS]]
    assert tokenizer.encode_batch([]) == []


@pytest.mark.parametrize(
    "config", [ByteLevelBPEConfig(vocab_size=300), WordPieceConfig(vocab_size=200), UnigramConfig(vocab_size=200)]
)
def test_sentences_start_at_their_first_token(config) -> None:
    tokenizer = config.train(TEXTS)
    text = "One three. Four five?  Six"
    starts = [0, text.index("Four"), text.index("Six")]
    ids, _, indices = tokenizer.encode_flat([text], [starts])
    assert ids.tolist() == tokenizer.encode(text).tolist()
    pieces = [tokenizer.decode(part).split() for part in np.split(ids, indices[1:])]
    assert [" ".join(piece).replace(" ", "") for piece in pieces] == ["Onethree.", "Fourfive?", "Six"]


def test_sentences_of_a_long_text_and_of_none(tokenizer: Tokenizer) -> None:
    sentence = "Four five six seven. "
    text = sentence * 5_000
    starts = list(range(0, len(text), len(sentence)))
    ids, lengths, indices = tokenizer.encode_flat([text, ""], [starts, []])
    assert (lengths.tolist(), len(indices)) == ([len(ids), 0], len(starts))
    assert ids.tolist() == tokenizer.encode(text).tolist()
    assert np.all(np.diff(indices) > 0)
    assert {tokenizer.decode(part).strip() for part in np.split(ids, indices[1:])} == {sentence.strip()}


def test_roles_that_are_missing_name_the_families_that_have_them(tokenizer: Tokenizer) -> None:
    assert tokenizer.role("end") == 0
    with pytest.raises(DataError, match=r"'mask' .*it has: padding, begin, end.*bert has one"):
        tokenizer.role("mask")
    with pytest.raises(DataError, match="no role"):
        tokenizer.role("masked")


def test_ids_out_of_range_are_refused(tokenizer: Tokenizer) -> None:
    for id in (-1, tokenizer.vocab_size):
        with pytest.raises(DataError, match=f"id {id} is not in the vocabulary"):
            tokenizer.decode([id])
        with pytest.raises(DataError, match=f"id {id} "):
            tokenizer.token(id)


def test_special_tokens_are_left_out_of_text_unless_asked_for(tokenizer: Tokenizer) -> None:
    ids = [*tokenizer.encode("One"), 0, *tokenizer.encode(" two")]
    assert tokenizer.decode(ids) == "One two"
    assert tokenizer.decode(np.array(ids), skip_special=False) == "One<|endoftext|> two"


def test_a_token_with_a_role_is_special_though_its_file_does_not_mark_it(tokenizer: Tokenizer) -> None:
    foreign = Tokenizer(tokenizer.definition, SpecialTokens({"padding": "!"}))
    ids = foreign.encode("Oh!").tolist()
    assert foreign.decode(ids) == "Oh"
    assert foreign.decode(ids, skip_special=False) == "Oh!"


def test_no_tokens_are_no_text_whatever_the_decoder() -> None:
    library = tokenizers.Tokenizer(models.BPE({"a": 0, "b</w>": 1}, []))
    library.decoder = decoders.BPEDecoder()  # which the library lets fail on an empty list
    foreign = Tokenizer(library.to_str(), SpecialTokens({"end": "a"}))
    assert foreign.decode([]) == foreign.decode([0]) == ""
    assert foreign.decode([1, 0]) == "b"


def test_bytes_of_their_own_are_those_that_decoding_joins(tokenizer: Tokenizer) -> None:
    with_bytes = UnigramConfig(vocab_size=400, byte_fallback=True).train(TEXTS)
    assert sorted(with_bytes.byte_values.values()) == list(range(256))
    assert all(with_bytes.token(id) == f"<0x{byte:02X}>" for id, byte in with_bytes.byte_values.items())
    assert tokenizer.byte_values == {}
    told = tokenizer.with_tokens(["<0x41>"])  # which its decoder leaves as it is
    assert told.byte_values == {}
    assert told.decode([told.vocab_size - 1]) == "<0x41>"


def test_a_lone_surrogate_is_a_data_error_that_says_so(tokenizer: Tokenizer) -> None:
    calls = (tokenizer.encode, tokenizer.prompt, tokenizer.framed, lambda text: tokenizer.encode_batch(["a", text]))
    for call in calls:
        with pytest.raises(
            DataError, match=r"a lone surrogate \(U\+D800\) stands at character 1.*write the text in UTF-8"
        ):
            call("a\ud800b")


def test_truncation_and_padding_in_a_file_are_ignored(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    content["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    path.write_text(json.dumps(content))
    assert Tokenizer.load(tmp_path).encode(TEXTS[0]).tolist() == tokenizer.encode(TEXTS[0]).tolist()


def test_a_missing_folder_or_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no tokenizer in .*tokenizer\.json"):
        Tokenizer.load(tmp_path / "gone")


@pytest.mark.parametrize("content", [b"", b"\x80\xff\x00\x01" * 50, b"null", b"[1]", b'{"model": {}}', b"[" * 100_000])
def test_a_file_that_is_no_tokenizer_is_a_data_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path)


def test_mutated_files_raise_nothing_but_data_errors(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    original = path.read_bytes()
    draw = random.Random(0)
    for _ in range(150):
        content = bytearray(original)
        for _ in range(draw.randrange(1, 4)):
            place = draw.randrange(len(content))
            content[place : place + draw.randrange(3)] = draw.randbytes(draw.randrange(3))
        path.write_bytes(content)
        with contextlib.suppress(DataError):
            Tokenizer.load(tmp_path).encode(TEXTS[0])


def _first_ids(tokenizer: Tokenizer) -> list[int]:
    return tokenizer.encode(TEXTS[0]).tolist()


def test_a_worker_process_gets_the_same_tokenizer(tokenizer: Tokenizer) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_first_ids, (tokenizer,)) == _first_ids(tokenizer)


def test_new_tokens_take_the_next_ids_and_are_found_in_a_text(tmp_path: Path) -> None:
    old = BytesConfig().train()
    new = old.with_tokens(["<|user|>", "two words"])
    assert new.vocab_size == old.vocab_size + 2
    assert new.encode("abc").tolist() == old.encode("abc").tolist()
    text = "a<|user|>b two words c"
    ids = new.encode(text).tolist()
    assert [id - old.vocab_size for id in ids if id >= old.vocab_size] == [0, 1]
    assert new.decode(ids) == text
    assert new.roles == old.roles
    new.save(tmp_path)
    assert Tokenizer.load(tmp_path).fingerprint == new.fingerprint != old.fingerprint
    assert FileConfig(path=str(tmp_path), add_tokens=("third",)).train().vocab_size == old.vocab_size + 3
    for tokens, words in ((["x"], "'x' is in the vocabulary"), ([""], "is empty"), (["no", "no"], "said twice")):
        with pytest.raises(ConfigError, match=f"tokenizer.add_tokens: .*{words}"):
            old.with_tokens(tokens)
