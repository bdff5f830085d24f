"""Classifiers that read the place of the end token: equal where a row ends with it, refused where not."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.nn import functional

import zoo
from zoo.errors import DataError

SIZE: dict[str, Any] = {
    "bart": {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
             "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32},
    "t5": {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8, "d_ff": 32, "tie_word_embeddings": True},
}  # fmt: skip


@pytest.mark.parametrize("name, opened", [("bart", "Bart"), ("t5", "T5")])
def test_a_row_is_read_at_its_end_token_or_refused(name: str, opened: str, tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model(
        name, vocab_size=40, eos_token_id=5, pad_token_id=1, decoder_start_token_id=5, num_labels=3, **SIZE[name]
    )
    theirs = getattr(transformers, f"{opened}ForSequenceClassification")(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    model = zoo.load(tmp_path / "theirs")
    zoo.save(model, tmp_path / "ours")
    tokens = torch.tensor([[7, 5, 9, 8, 5], [6, 5, 5, 1, 1]])
    documents = torch.where(tokens == 1, -1, 0)
    shifted = functional.pad(tokens, (1, 0), value=5)[:, :-1]
    with torch.no_grad():
        expected = theirs(input_ids=tokens, attention_mask=(documents == 0).long()).logits
        for one in (model, zoo.load(tmp_path / "ours")):
            inputs = {"tokens": tokens, "documents": documents, "decoder_tokens": shifted}
            found = one(**inputs, decoder_documents=documents)["sequence_classification"]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
            for places in ((0, 4), (1, 2)):
                other = tokens.clone()
                other[places] = 9
                with pytest.raises(DataError, match=f"row {places[0]} ends with 9, and not with the end token 5"):
                    one(**{**inputs, "tokens": other}, decoder_documents=documents)
