"""Base models and heads of labelled tasks equal transformers' classes of their names, and files go both ways.

These tests are the same for every class of every table; a new class is one line in its table and no test code.
"""

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file

import zoo
from tests.interop import classes
from tests.interop.cases import CASES, FIRST
from tests.interop.classes import CLASSES
from tests.interop.parity import TOLERANCE, saved_weights
from zoo.errors import CheckpointError, ConfigError
from zoo.interop import ARCHITECTURES, from_zoo, left_out, read_config, to_zoo, write_config
from zoo.interop.attempt import attempt
from zoo.interop.base import POOLER, Architecture
from zoo.interop.export import write_transformers
from zoo.interop.folder import load_foreign

SIDES = [
    pytest.param(architecture, name, padding, marks=() if padding == "right" else pytest.mark.slow)
    for architecture, name in CLASSES
    for padding in classes.paddings(architecture, name)
]
TOKENS_OF_DECODERS = [
    name
    for _, table in ARCHITECTURES.items()
    for name, heads in table.classes.items()
    if heads == ("token_classification",) and table.constant["kind"] == "decoder"
]
FILES = [
    pytest.param(architecture, name, marks=() if architecture in ("bert", "gpt2") else pytest.mark.slow)
    for architecture, name in CLASSES
]


@pytest.mark.parametrize(
    "architecture, name", [(a, name) for a, table in ARCHITECTURES.items() for name in table.classes]
)
def test_a_class_is_written_under_its_name(architecture: str, name: str) -> None:
    config = read_config(architecture, {"architectures": [name]})
    assert {*config.heads} == {*ARCHITECTURES[architecture].classes[name]}
    assert write_config(architecture, config)["architectures"] == [name]
    assert hasattr(transformers, name)


@pytest.mark.parametrize("architecture, name, padding", SIDES)
def test_parity(architecture: str, name: str, padding: str) -> None:
    assert max(classes.parity(architecture, name, padding)) < TOLERANCE


@pytest.mark.parametrize("changes", [{}, {"classifier_dropout": 0.25}], ids=["usual", "said"])
@pytest.mark.parametrize("architecture, name", [pair for pair in CLASSES if pair[1] in TOKENS_OF_DECODERS])
def test_the_dropout_before_labels_of_tokens(architecture: str, name: str, changes: dict[str, float]) -> None:
    with torch.device("meta"):
        theirs = getattr(transformers, name)(classes.foreign_config(architecture, name, **changes))
    ours = classes.our_config(architecture, name, **changes).heads["token_classification"]
    assert ours.dropout == theirs.dropout.p  # type: ignore[attr-defined]


@pytest.mark.parametrize("name, table", [(name, table) for _, table in ARCHITECTURES.items() for name in table.refused])
def test_halves_of_models_are_refused_by_name(name: str, table: Architecture) -> None:
    assert hasattr(transformers, name)
    told = f"^architectures: {name} does not open here: .*what opens: {next(iter(table.classes))}"
    with pytest.raises(ConfigError, match=told):
        read_config(table.name, {"architectures": [name]})


@pytest.mark.parametrize("padding", ["left", "right"])
def test_the_mean_of_a_row(padding: str) -> None:
    name = "ModernBertForSequenceClassification"
    assert max(classes.parity("modernbert", name, padding, classifier_pooling="mean")) < TOLERANCE


@pytest.mark.parametrize("architecture, name", CLASSES)
def test_weights_come_back(architecture: str, name: str) -> None:
    classes.round_trip(architecture, name)


@pytest.mark.parametrize("architecture, name", FILES)
def test_files(architecture: str, name: str, tmp_path: Path) -> None:
    """What transformers saves is opened here, what is written here there: with the same weights and classes."""
    model = classes.oracle(architecture, name)
    model.save_pretrained(tmp_path / "theirs")  # type: ignore[operator]
    plain = json.loads((tmp_path / "theirs" / "config.json").read_text())
    ours = load_foreign(tmp_path / "theirs")
    (tmp_path / "ours").mkdir()
    write_transformers(ours, {}, tmp_path / "ours", attempt(architecture, ours.config))
    opened, told = getattr(transformers, name).from_pretrained(
        tmp_path / "ours", dtype=torch.float64, output_loading_info=True
    )
    ignored = {*ARCHITECTURES[architecture].ignored}
    missing = {key for key in told["missing_keys"] if key not in ignored}
    missing = {key for key in missing if f"{ARCHITECTURES[architecture].prefix}.{key}" not in ignored}
    assert missing == {*left_out(architecture, model.state_dict(), plain)}
    assert not told["unexpected_keys"]
    expected, found = model.state_dict(), opened.state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected if key not in told["missing_keys"])
    if {"sequence_classification", "token_classification"} & {*ours.config.heads}:
        assert opened.config.id2label == classes.foreign_config(architecture, name).id2label


@pytest.mark.parametrize("architecture", [name for name, table in ARCHITECTURES.items() if table.prefix])
def test_names_with_and_without_the_base_model(architecture: str) -> None:
    """Hub files of GPT-2 and BLOOM lack the prefix although their class has it; files of a base model may have it."""
    base = next(name for name, heads in ARCHITECTURES[architecture].classes.items() if {*heads} <= {POOLER})
    prefix = ARCHITECTURES[architecture].prefix
    saved, given = classes.saved(architecture, base), classes.foreign_config(architecture, base).to_dict()
    expected = to_zoo(architecture, saved, given)
    with_prefix = {f"{prefix}.{name}": tensor for name, tensor in saved.items()}
    found = to_zoo(architecture, with_prefix, given)
    assert found.keys() == expected.keys()
    assert all(found[name] is expected[name] or torch.equal(found[name], expected[name]) for name in found)
    once = {name.removeprefix(f"{prefix}."): tensor for name, tensor in with_prefix.items()}
    first = CASES[FIRST[architecture]].model_class.__name__
    if first not in ("GPT2LMHeadModel", "BloomForCausalLM"):
        return
    tied = {**given, "architectures": [first]}
    assert to_zoo(architecture, once, tied).keys() >= expected.keys()


def test_the_two_spellings_of_one_tensor_are_not_mixed() -> None:
    saved, given = classes.saved("gpt2", "GPT2Model"), classes.foreign_config("gpt2", "GPT2Model").to_dict()
    twice = saved | {"transformer.wte.weight": saved["wte.weight"]}
    with pytest.raises(CheckpointError, match=r"left over: transformer\.wte\.weight$"):
        to_zoo("gpt2", twice, given)


def test_norms_as_tensorflow_calls_them() -> None:
    saved, given = classes.saved("bert", "BertModel"), classes.foreign_config("bert", "BertModel").to_dict()
    older = {n.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): t for n, t in saved.items()}
    assert older.keys() != saved.keys()
    expected, found = to_zoo("bert", saved, given), to_zoo("bert", older, given)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize("architecture", [name for name, table in ARCHITECTURES.items() if table.pooler])
def test_a_base_model_whose_file_has_no_pooler(architecture: str, tmp_path: Path) -> None:
    """It has no such head, and is written as the same class, for which transformers then draws a pooler."""
    base = next(name for name, heads in ARCHITECTURES[architecture].classes.items() if heads == (POOLER,))
    saved, given = classes.saved(architecture, base), classes.foreign_config(architecture, base).to_dict()
    bare = {name: tensor for name, tensor in saved.items() if not name.startswith("pooler.")}
    assert len(saved) - len(bare) == 2
    config = read_config(architecture, given, bare)
    assert config.heads == {}
    ours = to_zoo(architecture, bare, given)
    assert ours.keys() == config.build_unset().state_dict().keys()
    again = from_zoo(architecture, ours, config)
    assert again.keys() == bare.keys()
    assert write_config(architecture, config)["architectures"] == [base]
    save_file({name: tensor.clone() for name, tensor in again.items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(write_config(architecture, config)))
    assert zoo.load(tmp_path).config == config
    assert [*read_config(architecture, given).heads] == [POOLER]


def test_what_a_class_does_not_use_is_named() -> None:
    """The published file of BERT says BertForMaskedLM, and has the pooler and the pair classifier."""
    name = "BertForPreTraining"
    saved = saved_weights("bert")
    masked = {**classes.foreign_config("bert", name).to_dict(), "architectures": ["BertForMaskedLM"]}
    unused = ["bert.pooler.dense.weight", "bert.pooler.dense.bias"]
    unused += ["cls.seq_relationship.weight", "cls.seq_relationship.bias"]
    assert sorted(left_out("bert", saved, masked)) == sorted(unused)
    assert {*to_zoo("bert", saved, masked)} == {*read_config("bert", masked).build_unset().state_dict()}
    whole = {**masked, "architectures": [name]}
    assert left_out("bert", saved, whole) == []
    with pytest.raises(CheckpointError, match=r"left over: cls\.other\.weight"):
        to_zoo("bert", saved | {"cls.other.weight": saved["cls.seq_relationship.weight"]}, masked)
