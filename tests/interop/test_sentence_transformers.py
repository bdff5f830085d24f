"""What folders of sentence-transformers say of the vectors of texts, in its older and its newer format."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.interop.test_usage import conventions
from zoo.errors import CheckpointError
from zoo.interop.sentence_transformers import read_sentence_transformers, unwritten, write_sentence_transformers

PLAIN = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
"""modules.json of a folder whose vectors nothing is done with."""


@pytest.mark.parametrize(
    "mode, pooling",
    [
        ("mean_tokens", "mean"),
        ("cls_token", "first"),
        ("lasttoken", "last"),
        ("max_tokens", "max_tokens"),
    ],
)
def test_sentence_transformers_pooling(mode: str, pooling: str, tmp_path: Path) -> None:
    kinds = ["Transformer", "Pooling", "Normalize"]
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": f"1_{kind}"} for kind in kinds]
    modes = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": False, f"pooling_mode_{mode}": True}
    found = conventions(tmp_path, modules_json=modules, **{"1_Pooling__config_json": modes})
    assert (found.pooling, found.normalize) == (pooling, True)
    dense = [{"type": f"sentence_transformers.models.{kind}"} for kind in ("Transformer", "Dense")]
    found = conventions(tmp_path, modules_json=dense)
    assert (found.pooling, found.normalize) == ("Dense", False)


def test_a_pooling_lies_where_modules_say(tmp_path: Path) -> None:
    modules = [{"type": "sentence_transformers.models.Pooling", "path": "2_Pooling"}]
    with pytest.raises(CheckpointError, match=r"2_Pooling/config\.json is missing"):
        conventions(tmp_path, modules_json=modules, **{"1_Pooling__config_json": {"pooling_mode_lasttoken": True}})
    modes = {"pooling_mode_cls_token": True, "include_prompt": False}
    assert conventions(tmp_path, **{"2_Pooling__config_json": modes}).pooling == "first"
    for path in ("../2_Pooling", "/2_Pooling", None):
        with pytest.raises(CheckpointError, match="path must be a folder beside it"):
            conventions(tmp_path, modules_json=[{**modules[0], "path": path}])
    said = {"prompts": {"query": "query: ", "text": ""}, "default_prompt_name": "query"}
    found = conventions(tmp_path, modules_json=modules, config_sentence_transformers_json=said)
    assert (found.prompt, found.pooling) == ("query: ", "first + include_prompt=false")
    said["default_prompt_name"] = "other"
    with pytest.raises(CheckpointError, match="prompts has no 'other'"):
        conventions(tmp_path, config_sentence_transformers_json=said)


@pytest.mark.parametrize(
    "asked, pooling",
    [("mean", "mean"), ("cls", "first"), ("lasttoken", "last"), (["mean"], "mean"), (["cls", "max"], "first + max")],
    ids=str,
)
def test_a_pooling_may_be_one_field(asked: str | list[str], pooling: str, tmp_path: Path) -> None:
    """As the library writes it since its version 6."""
    modules = [{"type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling", "path": "1_Pooling"}]
    said = {"embedding_dimension": 8, "pooling_mode": asked, "include_prompt": True}
    assert conventions(tmp_path, modules_json=modules, **{"1_Pooling__config_json": said}).pooling == pooling


def test_a_text_is_read_as_far_as_the_folder_says(tmp_path: Path) -> None:
    assert conventions(tmp_path, sentence_bert_config_json={"max_seq_length": 7}).max_length is None  # without modules
    assert conventions(tmp_path, modules_json=PLAIN).max_length == 7
    files: dict[str, Any] = {
        "config_json": {"max_position_embeddings": 20},
        "tokenizer_config_json": {"model_max_length": 30},
    }
    assert conventions(tmp_path, **files).max_length == 7
    assert conventions(tmp_path, sentence_bert_config_json={"max_seq_length": None}).max_length == 20
    assert conventions(tmp_path, tokenizer_config_json={"model_max_length": 10}).max_length == 10
    unlimited = {"tokenizer_config_json": {"model_max_length": int(1e30)}, "config_json": {}}
    assert conventions(tmp_path, **unlimited).max_length is None
    (tmp_path / "sentence_bert_config.json").unlink()
    assert conventions(tmp_path, sentence_roberta_config_json={"max_seq_length": 9}).max_length == 9
    for wrong in (0, "many", 2.5, True):
        with pytest.raises(CheckpointError, match=r"max_seq_length is .*, and not a number of tokens"):
            conventions(tmp_path, sentence_roberta_config_json={"max_seq_length": wrong})


def test_what_changes_the_reading_is_named(tmp_path: Path) -> None:
    """The name of a pooling that there is not: `embed` refuses it by that name."""
    modality = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
    plain = {"do_lower_case": False, "modality_config": modality, "transformer_task": "feature-extraction"}
    assert conventions(tmp_path, modules_json=PLAIN, sentence_bert_config_json=plain).pooling == "mean"
    found = conventions(tmp_path, sentence_bert_config_json={**plain, "do_lower_case": True, "max_seq_length": 5})
    assert found.pooling == "do_lower_case=True"
    found = conventions(tmp_path, sentence_bert_config_json=plain, tokenizer_config_json={"truncation_side": "left"})
    assert found.pooling == "mean"  # of a text that is never cut it says nothing
    found = conventions(tmp_path, sentence_bert_config_json={**plain, "max_seq_length": 5})
    assert found.pooling == "truncation_side='left'"


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    modules = [{"type": "Pooling", "path": "1_Pooling"}]
    with pytest.raises(CheckpointError, match="damaged"):
        conventions(tmp_path, modules_json=modules, **{"1_Pooling__config_json": "[]"})
    with pytest.raises(CheckpointError, match="is no list of the model's parts"):
        conventions(tmp_path, modules_json={"a": 1})
    none = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False}
    with pytest.raises(CheckpointError, match="asks for no pooling at all"):
        conventions(tmp_path, modules_json=modules, **{"1_Pooling__config_json": none})


# -------------------------------------------------------------------------------------------------------------- writing

ALL_OF_IT = {
    "pooling": "first",
    "normalize": True,
    "prompt": "query: ",
    "max_length": 7,
    "carried": {
        "config_sentence_transformers.json": {
            "default_prompt_name": "query",
            "prompts": {"query": "query: ", "text": ""},
            "similarity_fn_name": "dot",
        }
    },
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pooling": "last"},
        {"pooling": None},
        {"normalize": None},
        {"max_length": None},
        {"prompt": None, "carried": None},
        {"carried": None},
        {"prompt": "other: "},
        {"prompt": None},
    ],
    ids=str,
)
def test_what_is_written_comes_back(changes: dict[str, Any], tmp_path: Path) -> None:
    usage = {name: value for name, value in {**ALL_OF_IT, **changes}.items() if value is not None}
    write_sentence_transformers(usage, 8, tmp_path)
    again = read_sentence_transformers(tmp_path)
    carried = again.pop("carried", {}).get("config_sentence_transformers.json", {})
    expected = {"pooling": "mean", "normalize": False, **usage}
    kept = expected.pop("carried", {}).get("config_sentence_transformers.json", {})
    assert again == expected
    assert carried.get("similarity_fn_name") == kept.get("similarity_fn_name")
    assert carried.get("prompts", {}).items() >= kept.get("prompts", {}).items()
    chosen = carried.get("default_prompt_name")
    assert (carried["prompts"][chosen] if chosen else "") == usage.get("prompt", "")


def test_nothing_is_written_where_nothing_is_said(tmp_path: Path) -> None:
    write_sentence_transformers({}, 8, tmp_path)
    write_sentence_transformers({"carried": {"config.json": {"pad_token_id": 3}}, "stop": [2]}, 8, tmp_path)
    write_sentence_transformers({"pooling": "max_tokens", "normalize": True}, 8, tmp_path)  # half would be wrong
    assert not [*tmp_path.iterdir()]
    assert unwritten({"pooling": "mean + Dense"}) == "mean + Dense"
    assert unwritten({"pooling": "last"}) == unwritten({}) == ""


def test_what_is_written_is_in_the_words_of_every_version(tmp_path: Path) -> None:
    write_sentence_transformers(ALL_OF_IT, 8, tmp_path)
    said = {path.relative_to(tmp_path).as_posix(): json.loads(path.read_text()) for path in tmp_path.rglob("*.json")}
    kinds = [(module["path"], module["type"].rpartition(".")[2]) for module in said.pop("modules.json")]
    assert kinds == [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    assert said == {
        "1_Pooling/config.json": {
            "word_embedding_dimension": 8,
            "pooling_mode_cls_token": True,
            "pooling_mode_mean_tokens": False,
            "pooling_mode_lasttoken": False,
        },
        "2_Normalize/config.json": {},
        "config_sentence_transformers.json": ALL_OF_IT["carried"]["config_sentence_transformers.json"],  # type: ignore[index]
        "sentence_bert_config.json": {"max_seq_length": 7, "do_lower_case": False},
    }
