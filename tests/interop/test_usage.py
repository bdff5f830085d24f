"""What foreign folders say of the use of their models."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from zoo.errors import CheckpointError
from zoo.generation.chat import ChatTemplate
from zoo.generation.conventions import Conventions
from zoo.interop import ARCHITECTURES
from zoo.interop.suggestions import FOLLOWED
from zoo.interop.usage import read_usage, write_ids


def written(folder: Path, **files: Any) -> Path:
    """A folder with these files: JSON, or text where it is text."""
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_json", ".json").replace("_jinja", ".jinja")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def conventions(folder: Path, **files: Any) -> Conventions:
    return Conventions.of(read_usage(written(folder, **files)), str(folder))


def test_nothing_said_is_the_default(tmp_path: Path) -> None:
    assert conventions(tmp_path) == Conventions()


def test_what_ends_a_text_may_be_several_ids(tmp_path: Path) -> None:
    assert conventions(tmp_path, config_json={"eos_token_id": 2}).stop == (2,)
    assert conventions(tmp_path, generation_config_json={"eos_token_id": [7, 9]}).stop == (7, 9)


def test_what_ends_a_text_is_said_by_one_file(tmp_path: Path) -> None:
    """As in transformers: generation_config.json, or config.json where there is none, and no tokenizer."""
    found = conventions(tmp_path, config_json={"eos_token_id": 2})
    assert (found.stop, found.end_stops) == ((2,), False)
    found = conventions(tmp_path, generation_config_json={"bos_token_id": 1})
    assert (found.stop, found.end_stops) == ((), False)
    theirs = transformers.GenerationConfig.from_pretrained(tmp_path)
    assert (theirs.eos_token_id, theirs.bos_token_id) == (None, 1)
    (tmp_path / "generation_config.json").unlink()
    theirs = transformers.GenerationConfig.from_pretrained(tmp_path, config_file_name="config.json")
    assert theirs.eos_token_id == 2


def test_an_output_begins_as_the_same_file_says(tmp_path: Path) -> None:
    config = {"is_encoder_decoder": True, "decoder_start_token_id": 2, "bos_token_id": 3}
    assert conventions(tmp_path, config_json=config).start == 2
    assert conventions(tmp_path, generation_config_json={"bos_token_id": 5}).start == 5
    assert conventions(tmp_path, generation_config_json={}).start == 2  # transformers would refuse


def test_ids_that_nothing_reads_are_carried(tmp_path: Path) -> None:
    config = {"bos_token_id": None, "pad_token_id": 3, "n_layer": 2}
    found = conventions(tmp_path, config_json=config, generation_config_json={"pad_token_id": 4, "top_p": 0.5})
    assert found.carried == {
        "config.json": {"bos_token_id": None, "pad_token_id": 3},
        "generation_config.json": {"pad_token_id": 4},
    }


def test_what_an_output_begins_with(tmp_path: Path) -> None:
    ids = {"decoder_start_token_id": 2, "forced_bos_token_id": 0}
    found = conventions(tmp_path, config_json={"is_encoder_decoder": True, **ids})
    assert (found.start, found.prefix) == (2, (0,))
    # of a decoder, theirs forces the token only behind a prompt of one: told, not followed
    found = conventions(tmp_path, config_json=ids)
    assert found._replace(carried=None) == Conventions(suggestions={"forced_bos_token_id": 0})


def test_what_is_never_written_and_what_ends_the_longest_texts(tmp_path: Path) -> None:
    config = {"model_type": "bart", "is_encoder_decoder": True, "forced_eos_token_id": 7, "bos_token_id": 3}
    assert conventions(tmp_path, config_json=config).last == (7,)
    said = {
        "eos_token_id": 2,
        "bad_words_ids": [[5], [2], [6, 2]],
        "suppress_tokens": [8],
        "begin_suppress_tokens": [4, 2],
    }
    found = conventions(tmp_path, generation_config_json=said)
    assert (found.last, found.barred) == (
        (),
        ((5,), (6, 2), (8,)),
    )  # where there is this file, config.json says nothing
    assert found.barred_first == (4, 2)


def test_what_the_maker_suggests_is_kept(tmp_path: Path) -> None:
    said = {"num_beams": 4, "temperature": 0.6, "do_sample": True, "top_k": None, "eos_token_id": 2}
    found = conventions(tmp_path, generation_config_json=said)
    assert found.suggestions == {"do_sample": True, "num_beams": 4, "temperature": 0.6}


def test_what_the_first_files_leave_to_their_classes(tmp_path: Path) -> None:
    config = {"is_encoder_decoder": True, "bos_token_id": 3, "force_bos_token_to_be_generated": True}
    found = conventions(tmp_path, config_json={"model_type": "bart", **config})
    assert (found.prefix, found.last, found.stop) == ((3,), (2,), (2,))
    assert conventions(tmp_path, config_json={"model_type": "marian", **config}).last == (0,)
    told = conventions(tmp_path, config_json={"model_type": "bart", "eos_token_id": 5, "forced_eos_token_id": None})
    assert (told.last, told.stop) == ((), (5,))


@pytest.mark.parametrize("name", [name for name, table in ARCHITECTURES.items() if table.generation_defaults])
def test_defaults_are_those_of_the_foreign_class(name: str) -> None:
    theirs = transformers.AutoConfig.for_model(name)
    defaults = ARCHITECTURES[name].generation_defaults
    assert {field: getattr(theirs, field) for field in defaults} == defaults


def test_all_ids_that_are_followed_come_back(tmp_path: Path) -> None:
    said = {"bos_token_id": 1, "eos_token_id": [2, 9], "pad_token_id": 3, "decoder_start_token_id": 4}
    said |= {"forced_bos_token_id": 5, "forced_eos_token_id": 2, "bad_words_ids": [[6], [7, 8]]}
    said |= {"suppress_tokens": [2], "begin_suppress_tokens": [6, 9]}
    assert said.keys() == FOLLOWED
    found = conventions(tmp_path, config_json={"model_type": "bart"}, generation_config_json={**said, "num_beams": 4})
    again = write_ids(found._asdict(), {"begin": 20, "end": 21, "padding": 22}, is_pair=True)
    assert again == {**said, "num_beams": 4}


def test_ids_of_a_model_of_ours_are_those_of_its_tokenizer() -> None:
    roles = {"begin": 20, "end": 21, "padding": 22}
    assert write_ids(Conventions()._asdict(), roles, is_pair=False) == {
        "bos_token_id": 20,
        "eos_token_id": 21,
        "pad_token_id": 22,
    }
    assert write_ids(Conventions()._asdict(), roles, is_pair=True)["decoder_start_token_id"] == 22
    assert write_ids(Conventions()._asdict(), {}, is_pair=True) == {}


def test_templates_wherever_they_stand(tmp_path: Path) -> None:
    config = {"eos_token": "</s>", "bos_token": {"content": "<s>", "lstrip": False}, "chat_template": "one"}
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    assert conventions(tmp_path, tokenizer_config_json=config).template == ChatTemplate("one", tokens)
    several = [{"name": "tool_use", "template": "two"}, {"name": "default", "template": "three"}]
    config["chat_template"] = several  # type: ignore[assignment]
    assert conventions(tmp_path, tokenizer_config_json=config).template == ChatTemplate("three", tokens)
    assert conventions(tmp_path, chat_template_jinja="four").template == ChatTemplate("four", tokens)


@pytest.mark.parametrize(
    "files",
    [
        {"generation_config_json": {"eos_token_id": "two"}},
        {"generation_config_json": {"bad_words_ids": [5, "x"]}},
        {"generation_config_json": {"bad_words_ids": 5}},
        {"generation_config_json": []},
        {"generation_config_json": "{"},
        {"tokenizer_config_json": "["},
    ],
    ids=str,
)
def test_damaged_files_are_refused(files: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="damaged"):
        read_usage(written(tmp_path, **files))
