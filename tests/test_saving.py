"""Models into folders: what transformers makes of an exported one, and what goes along."""

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open
from torch import Tensor

import zoo
from tests.generation.tiny import pretrained, tiny
from tests.interop import classes
from tests.interop.cases import CASES, FIRST
from tests.interop.parity import oracle, our_config, our_weights
from tests.tokenizer.families import FAMILIES
from zoo.checkpoint.model import read_card
from zoo.errors import CheckpointError, ConfigError
from zoo.generation.abilities import ABILITIES
from zoo.interop import ARCHITECTURES
from zoo.interop.base import POOLER, fields_of_heads
from zoo.interop.folder import weight_files
from zoo.models import Model
from zoo.pretrained import Pretrained

TEXTS = ["The dog sees", "A cat in the park."]


def exportable(kind: str) -> Pretrained:
    """A model that an architecture of transformers takes, with a tokenizer of its family."""
    heads: dict[str, Any] = {"language_model": {"kind": "language_model", "tied": True}}
    changes: dict[str, Any] = {"norm": {"kind": "layer_norm"}, "positions": "learned"}
    if kind == "encoder":
        heads["language_model"] |= {"bias": True, "transform": "gelu"}
        changes |= {
            "placement": "post",
            "embedding": {"norm": True, "num_segments": 2, "padding_token": 0},
            "feed_forward": {"kind": "plain", "activation": "gelu"},
            "norm": {"kind": "layer_norm", "eps": 1e-12},
        }
    if kind == "encoder_decoder":
        model = zoo.create_model("t5-nano", vocab_size=400, dim=16, num_layers=2, num_heads=2, head_dim=8)
        return Pretrained(model, pretrained(kind).tokenizer)
    return pretrained(kind, heads=heads, **changes)


def their_logits(folder: Path, kind: str, text: str) -> tuple[Tensor, list[int]]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, name).from_pretrained(folder).eval()
    inputs = tokenizer(text, return_tensors="pt")
    if kind == "encoder_decoder":
        inputs["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id, 3, 4]])
    with torch.no_grad():
        output = model(**inputs)
    return output.get("logits", output.get("prediction_logits"))[0], inputs["input_ids"][0].tolist()


def our_logits(model: Pretrained, ids: list[int]) -> Tensor:
    inputs = {"tokens": torch.tensor([ids])}
    if model.config.kind == "encoder_decoder":
        inputs["decoder_tokens"] = torch.tensor([[model.tokenizer.role("padding"), 3, 4]])
    with torch.no_grad():
        return model(**inputs)["language_model"][0]


# ------------------------------------------------------------------------------------------------------------- exported


@pytest.mark.parametrize("kind", list(ABILITIES))
def test_transformers_opens_it_with_the_same_ids_and_logits(kind: str, tmp_path: Path) -> None:
    model = exportable(kind)
    opened = zoo.export(model, tmp_path / "out")
    again = zoo.load(tmp_path / "out")
    assert hasattr(transformers, opened)
    for text in TEXTS:
        logits, ids = their_logits(tmp_path / "out", kind, text)
        assert ids == again.tokenizer.framed(text).tolist()
        inner = model.tokenizer.prompt(text).tolist()
        assert [id for id in ids if id not in model.tokenizer.special_ids] == inner
        torch.testing.assert_close(logits, our_logits(again, ids), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(logits, our_logits(model, ids), rtol=1e-4, atol=1e-4)
    assert again.config.vocab_size == model.config.vocab_size
    assert {role: again.tokenizer.roles[role] for role in model.tokenizer.roles} == model.tokenizer.roles


@pytest.mark.parametrize("name", FIRST.values())
def test_every_architecture_comes_back(name: str, tmp_path: Path) -> None:
    case, model = CASES[name], our_config(name).build_unset().double()
    model.load_state_dict(our_weights(name))
    opened = zoo.export(model, tmp_path / "out", architecture=case.architecture)
    assert opened == case.model_class.__name__
    theirs, told = case.model_class.from_pretrained(tmp_path / "out", dtype="auto", output_loading_info=True)
    assert not told["unexpected_keys"]
    expected, ignored = oracle(name).state_dict(), ARCHITECTURES[case.architecture].ignored
    found = theirs.state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected if key not in ignored)
    again = zoo.load(tmp_path / "out")
    assert again.architecture == case.architecture
    assert same(again.model, model)


LEFT_OUT = {
    "_name_or_path": "the folder itself",
    "activation_function": "swish is silu",
    "global_attn_every_n_layers": "the sort of each layer is written",
    "head_dim": "null there means an equal share of the width, which is written",
    "max_window_layers": "read where there is a sliding window",
    "n_inner": "null there means four times the width, which is written",
    "n_positions": "never read by T5; our length stands there",
    "rope_parameters": "numbers that are left out are written, and a share of a width as the whole number that it is",
    "seq_length": "never read by BLOOM; our length stands there",
}
"""Fields that transformers reads otherwise from a folder that was opened and written again, and why."""


OF_HEADS = {
    "classifier_activation": "relu",
    "classifier_bias": True,
    "classifier_dropout": 0.3,
    "classifier_dropout_prob": 0.3,
    "classifier_pooling": "mean",
    "decoder_bias": False,
    "final_logit_softcapping": 7.0,
    "qa_dropout": 0.3,
    "scale_decoder_outputs": False,
    "seq_classif_dropout": 0.3,
    "summary_activation": "tanh",
    "summary_first_dropout": 0.3,
    "summary_proj_to_labels": False,
    "summary_type": "mean",
    "summary_use_proj": False,
    "tie_word_embeddings": False,
}
"""Values of the fields that only heads read; no architecture has one of them as its default but a tie of some."""


def of_heads(architecture: str, *, but_of: tuple[str, ...] = ()) -> dict[str, Any]:
    """Values of the fields of heads that a model has no place for, which has these heads."""
    table = ARCHITECTURES[architecture]
    used = {
        field.name
        for field in table.fields
        for path in field.ours
        if path.startswith(tuple(f"heads.{h}." for h in but_of))
    }
    return {name: OF_HEADS[name] for name in fields_of_heads(table) - used}


@pytest.mark.parametrize("architecture", [*dict(ARCHITECTURES.items())])
def test_how_heads_would_be_made_goes_through_a_model_without_them(architecture: str, tmp_path: Path) -> None:
    base = next(name for name, heads in ARCHITECTURES[architecture].classes.items() if {*heads} <= {POOLER})
    said = of_heads(architecture)
    zoo.export(classes.our_config(architecture, base).build(), tmp_path / "source", architecture=architecture)
    config = json.loads((tmp_path / "source" / "config.json").read_text())
    (tmp_path / "source" / "config.json").write_text(json.dumps({**config, **said}))
    zoo.save(zoo.load(tmp_path / "source"), tmp_path / "ours")
    zoo.export(tmp_path / "ours", tmp_path / "again")
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    assert again["architectures"] == [base]
    assert {name: again.get(name, "lost") for name in said} == said


def test_a_head_for_an_exported_base_model_is_made_as_its_config_says(tmp_path: Path) -> None:
    """ModernBERT was published with the mean of a row; that is what is fine-tuned from our folder, too."""
    theirs = transformers.ModernBertForMaskedLM(
        classes.foreign_config("modernbert", "ModernBertForMaskedLM", classifier_pooling="mean", classifier_dropout=0.3)
    )
    theirs.save_pretrained(tmp_path / "theirs")
    zoo.export(tmp_path / "theirs", tmp_path / "ours")
    made = transformers.ModernBertForSequenceClassification.from_pretrained(tmp_path / "ours")
    assert (made.config.classifier_pooling, made.drop.p) == ("mean", 0.3)


@pytest.mark.parametrize("name", FIRST.values())
def test_what_transformers_reads_of_a_config_comes_back(name: str, tmp_path: Path) -> None:
    case, source, again = CASES[name], tmp_path / "source", tmp_path / "again"
    zoo.export(our_config(name).build(), source, architecture=case.architecture)
    ids = {"bos_token_id": 5, "eos_token_id": 6, "pad_token_id": 3, "problem_type": "multi_label_classification"}
    written = {**case.config.to_dict(), **ids, "id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}
    written |= {"architectures": [case.model_class.__name__], "dtype": "float32"}
    written |= of_heads(case.architecture, but_of=ARCHITECTURES[case.architecture].classes[case.model_class.__name__])
    (source / "config.json").write_text(json.dumps(written))
    for said in ({"bos_token_id": 5, "pad_token_id": 3, "eos_token_id": [6, 7]}, {"eos_token_id": 6}, {}):
        (source / "generation_config.json").write_text(json.dumps(said))
        target = again / str(len(said))
        zoo.export(zoo.load(source), target)
        ours, theirs = (transformers.AutoConfig.from_pretrained(place).to_dict() for place in (target, source))
        differing = {field for field in {*ours, *theirs} if ours.get(field) != theirs.get(field)}
        assert differing <= {*LEFT_OUT}, {field: (theirs.get(field), ours.get(field)) for field in differing}
        if (target / "generation_config.json").exists():
            assert json.loads((target / "generation_config.json").read_text()).items() >= said.items()


def test_a_classifier_without_a_tokenizer_takes_batches_again(tmp_path: Path) -> None:
    config = transformers.GPT2Config(
        vocab_size=40, n_embd=16, n_layer=1, n_head=2, n_positions=32, bos_token_id=1, eos_token_id=2, pad_token_id=3
    )
    theirs = transformers.GPT2ForSequenceClassification(config).eval()
    theirs.save_pretrained(tmp_path / "source")
    zoo.export(tmp_path / "source", tmp_path / "again")
    zoo.save(zoo.load(tmp_path / "source"), tmp_path / "ours")
    zoo.export(tmp_path / "ours", tmp_path / "later")
    tokens = torch.tensor([[5, 6, 7, 8], [9, 10, 3, 3]])
    for place in ("again", "later"):
        model = transformers.GPT2ForSequenceClassification.from_pretrained(tmp_path / place)
        torch.testing.assert_close(model(tokens).logits, theirs(tokens).logits)


def same(one: Model, other: Model) -> bool:
    other_state = other.state_dict()
    return all(torch.equal(tensor, other_state[name]) for name, tensor in one.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(ABILITIES))
def test_a_clean_process_opens_it(kind: str, tmp_path: Path) -> None:
    """By the words of its card, with its tokenizer; of every architecture: `interop/test_clean_process.py`."""
    mine = exportable(kind)
    zoo.export(mine, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    code = card.split("With transformers:\n\n```python\n")[1].split("```")[0]
    assert "zoo" not in code
    started = [mine.tokenizer.role("padding"), 3, 4] if kind == "encoder_decoder" else None
    more = f", decoder_input_ids=torch.tensor([{started}])" if started else ""
    code = f"""import json, sys, torch
folder = {str(tmp_path / "out")!r}
{code}
inputs = tokenizer("The dog", return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs{more}).logits
assert "zoo" not in sys.modules
print(json.dumps([inputs["input_ids"][0].tolist(), logits[0].tolist()]))"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    ids, logits = json.loads(ended.stdout.splitlines()[-1])
    assert ids == zoo.load(tmp_path / "out").tokenizer.framed("The dog").tolist()
    torch.testing.assert_close(torch.tensor(logits), our_logits(mine, ids), rtol=1e-4, atol=1e-4)


def test_large_weights_are_cut_into_shards(tmp_path: Path) -> None:
    model = exportable("decoder")
    heard: list[tuple[int, int]] = []
    zoo.export(model, tmp_path / "out", shard_bytes=20_000, told=lambda done, total: heard.append((done, total)))
    files = weight_files(tmp_path / "out")
    assert len(files) == len(heard) > 2
    assert heard[-1][0] == heard[-1][1]
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert same(zoo.load(tmp_path / "out").model, model.model)
    transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "out")
    for path in files:
        with safe_open(path, framework="pt") as file:
            assert len(file.keys()) == 1 or path.stat().st_size < 22_000


def test_what_was_opened_goes_out_as_what_it_was(tmp_path: Path) -> None:
    """Several architectures compute what this Mistral computes; the one it came as is written."""
    config = transformers.MistralConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=32, sliding_window=None,
    )  # fmt: skip
    transformers.MistralForCausalLM(config).save_pretrained(tmp_path / "theirs")
    model = zoo.load(tmp_path / "theirs")
    assert zoo.export(model, tmp_path / "again") == "MistralForCausalLM"
    assert zoo.export(model.model, tmp_path / "bare") == "LlamaForCausalLM"
    assert zoo.export(model, tmp_path / "asked", architecture="llama") == "LlamaForCausalLM"
    zoo.save(model, tmp_path / "ours")
    assert read_card(tmp_path / "ours")["architecture"] == "mistral"
    assert zoo.export(tmp_path / "ours", tmp_path / "later") == "MistralForCausalLM"


@pytest.mark.parametrize("named", ["tokenizer_config.json", "llama"])
def test_what_transformers_does_with_a_tokenizer_goes_along(named: str, tmp_path: Path) -> None:
    """Values that are no defaults, and the side on which Llama's class pads where no file says one."""
    said: dict[str, Any] = {
        "padding_side": "left",
        "truncation_side": "left",
        "clean_up_tokenization_spaces": True,
        "model_max_length": 99,
    }
    if named == "llama":
        FAMILIES["llama"](tmp_path)
        sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
        config = transformers.LlamaConfig(vocab_size=400, num_attention_heads=2, **sizes)
        transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    else:
        FAMILIES["bert"](tmp_path)
        (tmp_path / named).write_text(json.dumps(said))
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "max_position_embeddings": 64}
        transformers.BertModel(transformers.BertConfig(num_attention_heads=2, **sizes)).save_pretrained(tmp_path)
    before = transformers.AutoTokenizer.from_pretrained(tmp_path)
    zoo.save(zoo.load(tmp_path), tmp_path / "ours")
    zoo.export(tmp_path / "ours", tmp_path / "out")
    after = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert [getattr(after, name) for name in said] == [getattr(before, name) for name in said]
    text = "the fox, it's lazy. isn't it?"
    assert after(text)["input_ids"] == before(text)["input_ids"]
    assert after.decode(after(text)["input_ids"]) == before.decode(before(text)["input_ids"])


def test_ids_and_templates_go_along(tmp_path: Path) -> None:
    FAMILIES["gpt2"](tmp_path)
    config = transformers.GPT2Config(vocab_size=400, n_embd=16, n_layer=1, n_head=2, n_positions=32)
    model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 7], "top_p": 0.9}))
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    zoo.export(tmp_path, tmp_path / "out")
    said = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert (said["eos_token_id"], said["top_p"]) == ([0, 7], 0.9)
    assert "top_p" not in json.loads((tmp_path / "out" / "config.json").read_text())
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert theirs.apply_chat_template([{"role": "user", "content": "the fox"}], tokenize=False) == "the fox"
    assert theirs.eos_token_id == 0
    assert theirs("the fox").keys() == {"input_ids", "attention_mask"}
    again = zoo.load(tmp_path / "out")
    expected = zoo.load(tmp_path).conventions
    carried = {name: dict(fields) for name, fields in (again.conventions.carried or {}).items()}
    assert carried["tokenizer_config.json"].pop("model_max_length") == 32  # what an export says of itself
    assert again.conventions._replace(template=None, carried=carried) == expected._replace(template=None)
    assert again.conventions.template is not None
    assert again.conventions.template.source == expected.template.source  # type: ignore[union-attr]


def test_vectors_of_texts_are_the_same_again(tmp_path: Path) -> None:
    """Everything by which a folder of sentence-transformers makes a vector, none of it the default."""
    model = exportable("encoder")
    zoo.export(model, tmp_path / "plain")
    assert not (tmp_path / "plain" / "modules.json").exists()
    prompts = {"config_sentence_transformers.json": {"prompts": {"query": "The "}, "default_prompt_name": "query"}}
    said = {"pooling": "first", "normalize": True, "prompt": "The ", "max_length": 6}
    model.conventions = model.conventions._replace(**said, carried=prompts)  # type: ignore[arg-type]
    zoo.export(model, tmp_path / "out")
    again = zoo.load(tmp_path / "out")
    assert {name: getattr(again.conventions, name) for name in said} == said
    zoo.export(again, tmp_path / "later")
    for folder in ("out", "later", "plain"):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            found, expected = zoo.load(tmp_path / folder).embed(TEXTS), model.embed(TEXTS)
        assert torch.allclose(found, expected, atol=1e-6) == (folder != "plain")
        told = [one for one in heard if one.category is UserWarning]  # others may be of what is cleared away
        assert len(told) == (1 if folder == "plain" else 2)  # of texts that are longer


def test_a_way_to_make_vectors_that_is_not_known_here_is_told(tmp_path: Path) -> None:
    model = exportable("encoder")
    model.conventions = model.conventions._replace(pooling="mean + Dense", normalize=True)
    with pytest.warns(UserWarning, match=r"how a text becomes one vector \(mean \+ Dense\) is not known here"):
        zoo.export(model, tmp_path / "out")
    assert "(mean + Dense) is not known here and not written" in (tmp_path / "out" / "README.md").read_text()


# -------------------------------------------------------------------------------------------------------------- refused


def test_a_model_that_fits_nowhere_is_told_why(tmp_path: Path) -> None:
    model = tiny("decoder", positions="alibi", norm={"kind": "rms_norm"})
    with pytest.raises(ConfigError, match="no architecture of transformers computes what this decoder") as caught:
        zoo.export(model, tmp_path / "out")
    told = str(caught.value)
    assert re.findall("\n  ([a-z0-9_]+):\n", told)[0] == "gpt2"
    assert "has no place for" in told
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="gpt2 has no place for"):
        zoo.export(model, tmp_path / "out", architecture="gpt2")


def test_wrong_use_is_told(tmp_path: Path) -> None:
    model = exportable("decoder")
    with pytest.raises(ConfigError, match=r"format: unknown format 'onnx' \(legal: transformers\)"):
        zoo.export(model, tmp_path / "out", "onnx")
    with pytest.raises(ConfigError, match="architecture: unknown architecture 'gtp2'; did you mean 'gpt2'"):
        zoo.export(model, tmp_path / "out", architecture="gtp2")
    with pytest.raises(ConfigError, match="shard_bytes: '5GB' is no number of bytes; give a whole one, as 5 << 30"):
        zoo.export(model, tmp_path / "out", shard_bytes="5GB")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="shard_bytes: 0 is no number"):
        zoo.export(model, tmp_path / "out", shard_bytes=0)
    with pytest.raises(ConfigError, match="which: which and weights choose a checkpoint of a run"):
        zoo.export(model, tmp_path / "out", weights="ema")
    with pytest.raises(ConfigError, match="model: 3 is no model; give a Model"):
        zoo.export(3, tmp_path / "out")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="model: 'x' is no model; give a Model"):
        zoo.save("x", tmp_path / "out")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="tokenizer: the model has one with it"):
        zoo.export(model, tmp_path / "out", tokenizer=model.tokenizer)
    (tmp_path / "out").mkdir()
    with pytest.raises(CheckpointError, match="exists already"):
        zoo.export(model, tmp_path / "out")
    with pytest.raises(CheckpointError, match="absent is missing"):
        zoo.export(tmp_path / "absent", tmp_path / "other")


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zoo.export(exportable("decoder"), tmp_path / "out", told=fail)
    assert list(tmp_path.iterdir()) == []


def test_a_model_in_training_stays_in_training(tmp_path: Path) -> None:
    model = exportable("decoder").model.train()
    zoo.save(model, tmp_path / "ours")
    zoo.export(model, tmp_path / "theirs")
    assert model.training
