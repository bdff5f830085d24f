"""An index and the files beside it must say the same; all that differs is told. (Whole folders: test_folder.py.)"""

import json
from pathlib import Path

import pytest

from zoo.errors import CheckpointError
from zoo.interop.shards import check_files, check_places, read_index, refuse_shards


def test_an_index_is_read_or_refused(tmp_path: Path) -> None:
    assert read_index(tmp_path, "index.json") == {}
    (tmp_path / "index.json").write_text(json.dumps({"weight_map": {"a": "one.bin"}, "metadata": {}}))
    assert read_index(tmp_path, "index.json") == {"a": "one.bin"}
    for said in ("[]", "{}", '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "../one.bin"}}'):
        (tmp_path / "index.json").write_text(said)
        with pytest.raises(CheckpointError, match=r"index\.json is damaged: weight_map must give"):
            read_index(tmp_path, "index.json")


def test_files_are_those_of_the_index(tmp_path: Path) -> None:
    (tmp_path / "one.bin").touch()
    check_files(tmp_path, "index.json", ["one.bin"], ["one.bin"])
    with pytest.raises(CheckpointError, match=r"lacks two\.bin and has, unnamed, three\.bin: .*those that index\.json"):
        check_files(tmp_path, "index.json", ["one.bin", "two.bin"], ["one.bin", "three.bin"])


def test_parts_without_an_index_are_refused(tmp_path: Path) -> None:
    refuse_shards(tmp_path, "model.bin", "index.json", ["model.bin", "other.bin", "fox-1-of.bin"])
    with pytest.raises(CheckpointError, match=r"and also m-00001-of-00002\.bin, named as parts of an index \(index"):
        refuse_shards(tmp_path, "model.bin", "index.json", ["model.bin", "m-00001-of-00002.bin"])


def test_tensors_are_where_the_index_says(tmp_path: Path) -> None:
    index = {"a": "one", "b": "two", "c": "two"}
    check_places(tmp_path, "index.json", index, [("a", "one"), ("b", "two"), ("c", "two")])
    check_places(tmp_path, "index.json", {}, [("a", "one"), ("b", "one")])  # one file, without an index
    with pytest.raises(CheckpointError) as caught:
        check_places(tmp_path, "index.json", index, [("a", "one"), ("a", "two"), ("b", "one"), ("d", "one")])
    for part in (
        "in two shards: a (one and two)",
        "in no shard: c (should be in two)",
        "in another shard: a (in two, not one), b (in one, not two)",
        "not in the index: d (in one)",
    ):
        assert part in str(caught.value)
