"""Folders that transformers wrote: the same texts, searches, scores and vectors from the same strings."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, processors

import zoo
from tests.generation.vocabularies import tokenizer_of
from zoo.errors import ZooError

PROMPTS = ["The cute dog", "A cat sees the dog in", "It"]
SPECIAL = {
    "llama": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
    "t5": {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"},
    "bart": {"bos_token": "<pad>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"},
    "bert": {
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    },
}
VOCABULARIES = {"llama": "gpt", "t5": "t5", "bart": "t5", "bert": "bert"}


def their_tokenizer(name: str) -> Any:
    """A tokenizer that frames texts as those of its architecture do."""
    ours = tokenizer_of(VOCABULARIES[name])
    library = Tokenizer.from_str(ours.definition)
    ids = {token: library.token_to_id(token) for token in SPECIAL[name].values()}
    frames = {"llama": "<|endoftext|> $A", "t5": "$A </s>", "bart": "<pad> $A </s>", "bert": "[CLS] $A [SEP]"}
    special = [(token, id) for token, id in ids.items() if token in frames[name]]
    library.post_processor = processors.TemplateProcessing(single=frames[name], special_tokens=special)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=library, **SPECIAL[name])


def their_model(name: str, tokenizer: Any) -> Any:
    common = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    heads = {"num_attention_heads": 2, "num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 32}
    torch.manual_seed(3)
    if name == "llama":
        config: Any = transformers.LlamaConfig(**common, **heads, bos_token_id=0, initializer_range=0.3)
        return transformers.LlamaForCausalLM(config)
    if name == "t5":
        config = transformers.T5Config(
            **common,
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_heads=2,
            decoder_start_token_id=0,
            initializer_factor=2.0,
        )
        return transformers.T5ForConditionalGeneration(config)
    if name == "bert":
        config = transformers.BertConfig(**common, **heads, initializer_range=0.3, max_position_embeddings=64)
        return transformers.BertForMaskedLM(config)
    sides = {
        f"{side}_{part}": value
        for side in ("encoder", "decoder")
        for part, value in (("layers", 2), ("ffn_dim", 32), ("attention_heads", 2))
    }
    config = transformers.BartConfig(
        **common,
        **sides,
        d_model=16,
        init_std=0.4,
        bos_token_id=0,
        decoder_start_token_id=1,
        forced_eos_token_id=tokenizer.eos_token_id,
        max_position_embeddings=64,
    )
    return transformers.BartForConditionalGeneration(config)


@pytest.fixture(scope="module", params=list(SPECIAL))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Any, Any]:
    """A name, their model and tokenizer, and ours from the folder that theirs was saved to."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    with torch.random.fork_rng():
        tokenizer = their_tokenizer(name)
        model = their_model(name, tokenizer).eval()
    if name == "llama":  # further tokens that end a text stand in its generation config
        model.generation_config.eos_token_id = [tokenizer.eos_token_id, 60, 61]
    if name == "bart":
        model.generation_config.forced_bos_token_id = 0
        model.generation_config.bad_words_ids = [[7], [20, 21]]
    if name in ("llama", "bart"):  # half of the vocabulary, so that what comes first is another token without it
        model.generation_config.begin_suppress_tokens = list(range(0, model.config.vocab_size, 2))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return name, model, tokenizer, zoo.load(folder)


def inputs_of(tokenizer: Any, texts: list[str], side: str) -> Any:
    tokenizer.padding_side = side
    found = tokenizer(texts, return_tensors="pt", padding=True)
    return {name: found[name] for name in ("input_ids", "attention_mask")}


@pytest.mark.parametrize("beams", [1, 3])
def test_texts_are_those_of_transformers(pair: tuple[str, Any, Any, Any], beams: int) -> None:
    name, model, tokenizer, ours = pair
    if name == "bert":
        with pytest.raises(ZooError, match="cannot generate"):
            ours.generate(PROMPTS)
        return
    inputs = inputs_of(tokenizer, PROMPTS, "left" if name == "llama" else "right")
    generated = model.generate(**inputs, num_beams=beams, do_sample=False, max_new_tokens=8, early_stopping=False)
    start = inputs["input_ids"].shape[1] if name == "llama" else 1
    stop = {tokenizer.eos_token_id, *ours.conventions.stop}
    special = {*stop, *tokenizer.all_special_ids}
    options = {"num_beams": beams} if beams > 1 else {}
    for found, tokens in zip(
        ours.generate(PROMPTS, details=True, max_new_tokens=8, **options), generated.tolist(), strict=True
    ):
        expected = tokens[start:]
        cut = next(
            (place for place, token in enumerate(expected) if token in stop and (name != "bart" or place)),
            len(expected),
        )
        assert found.tokens == expected[:cut]
        assert {*found.tokens} - special


def test_scores_are_their_losses(pair: tuple[str, Any, Any, Any]) -> None:
    name, model, tokenizer, ours = pair
    text, target = "The cute dog sees", " a cat"
    with torch.no_grad():
        if name == "bert":
            inputs, found = inputs_of(tokenizer, [text], "right"), []
            for place in range(1, inputs["input_ids"].shape[1] - 1):
                masked = inputs["input_ids"].clone()
                masked[0, place] = tokenizer.mask_token_id
                logits = model(input_ids=masked, attention_mask=inputs["attention_mask"]).logits
                found.append(float(logits[0, place].log_softmax(-1)[inputs["input_ids"][0, place]]))
            assert ours.score(text).log_probabilities == pytest.approx(found, abs=1e-4)
            return
        if name == "llama":
            inputs = inputs_of(tokenizer, [text], "right")
            loss = model(**inputs, labels=inputs["input_ids"]).loss
            assert ours.score(text).mean == pytest.approx(-float(loss), abs=1e-4)
            return
        labels = inputs_of(tokenizer, [target], "right")["input_ids"]
        logits = model(**inputs_of(tokenizer, [text], "right"), labels=labels).logits.log_softmax(-1)
    expected = logits[0, range(labels.shape[1]), labels[0]].tolist()[1 if name == "bart" else 0 :]
    assert ours.score(text, target).log_probabilities == pytest.approx(expected, abs=1e-4)


def test_vectors_are_their_means(pair: tuple[str, Any, Any, Any]) -> None:
    name, model, tokenizer, ours = pair
    inputs = inputs_of(tokenizer, PROMPTS, "right")
    with torch.no_grad():
        body: Any = model.get_encoder() if name in ("t5", "bart") else model.base_model
        hidden = body(**inputs).last_hidden_state
    mask = inputs["attention_mask"][..., None]
    expected = (hidden * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(ours.embed(PROMPTS), expected, rtol=1e-4, atol=1e-4)


def test_what_is_said_of_its_use_stays_when_it_is_exported(pair: tuple[str, Any, Any, Any], tmp_path: Path) -> None:
    name, model, _, ours = pair
    zoo.export(ours, tmp_path / "theirs")
    config, again = ours.model.config, zoo.load(tmp_path / "theirs").conventions
    said = again.carried.get("tokenizer_config.json", {})
    same = {"tokenizer_config.json": {}}  # of a tokenizer that came from no folder: the export is the first to say it
    expected = ours.conventions._replace(carried={**ours.conventions.carried, **same})
    assert again._replace(carried={**again.carried, **same}) == expected
    assert said.get("model_max_length") == (config.max_length if config.positions.kind == "learned" else None)
    if name == "bart":
        again = transformers.BartForConditionalGeneration.from_pretrained(tmp_path / "theirs").generation_config
        for field in ("forced_bos_token_id", "forced_eos_token_id", "bad_words_ids"):
            assert getattr(again, field) == getattr(model.generation_config, field)


def test_what_is_said_of_its_use_stays_when_it_is_saved(pair: tuple[str, Any, Any, Any], tmp_path: Path) -> None:
    name, _, _, ours = pair
    zoo.save(ours, tmp_path / "ours")
    again = zoo.load(tmp_path / "ours")
    assert again.conventions == ours.conventions
    assert torch.equal(again.embed(PROMPTS), ours.embed(PROMPTS))
    if name != "bert":
        assert again.generate(PROMPTS, max_new_tokens=5) == ours.generate(PROMPTS, max_new_tokens=5)
