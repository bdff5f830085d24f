"""A tree comes back as it was: values, types, keys, sharing. What cannot come back is refused when it is saved."""

import json
import math
import os
import random
import struct
from collections import OrderedDict, namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, strategies

from zoo.checkpoint import disk
from zoo.checkpoint.tensors import DTYPES, MAX_DEPTH, load_tensors, load_tree, save_tensors, save_tree
from zoo.errors import CheckpointError


def again(tree: Any, folder: Path) -> Any:
    """The tree after a round through files."""
    for name in ("tree.json", "tree.safetensors"):
        (folder / name).unlink(missing_ok=True)
    save_tree(tree, folder, "tree")
    return load_tree(folder, "tree")


def same(one: Any, other: Any) -> bool:
    """Equal in value, type and order, down to the bits of floats and the types of tensors."""
    if isinstance(one, torch.Tensor):
        return (
            isinstance(other, torch.Tensor)
            and (one.dtype, one.shape) == (other.dtype, other.shape)
            and torch.equal(one.contiguous().reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return (
            list(one) == list(other)
            and all(type(a) is type(b) for a, b in zip(one, other, strict=True))
            and all(same(one[key], other[key]) for key in one)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


# ---------------------------------------------------------------------------------------------------------- round trips


def test_a_training_state_comes_back(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for _ in range(3):
        model(torch.randn(2, 3)).sum().backward()
        optimizer.step()
        schedule.step()
    tree = {
        "epoch": 0,
        "global_step": 3,
        "pytorch-lightning_version": "2.6.6",
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [{**schedule.state_dict(), "best": float("inf")}],
        "loops": {"fit_loop": {"state_dict": {}, "progress": {"total": {"ready": 3}, "done": True, "limit": None}}},
        "callbacks": {"Saver{'every': 3}": {"paths": ("a", "b"), "score": torch.tensor(1.5)}},
    }
    back = again(tree, tmp_path)
    assert same(back, tree)
    assert list(back["optimizer_states"][0]["state"]) == [0, 1, 2, 3]
    assert back["optimizer_states"][0]["param_groups"][0]["betas"] == (0.9, 0.95)
    optimizer.load_state_dict(back["optimizer_states"][0])


scalars = (
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.integers(-(10**40), 10**40)
    | strategies.floats()
    | strategies.text()
)
keys = strategies.text(max_size=5) | strategies.integers()
trees = strategies.recursive(
    scalars,
    lambda children: (
        strategies.lists(children, max_size=4)
        | strategies.lists(children, max_size=4).map(tuple)
        | strategies.dictionaries(keys, children, max_size=4)
    ),
    max_leaves=20,
)


@hypothesis.given(tree=trees)
@hypothesis.settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
def test_any_tree_of_plain_values_comes_back(tree: Any, tmp_path: Path) -> None:
    assert same(again(tree, tmp_path), tree)


@pytest.mark.parametrize(
    "number",
    [
        0.0,
        -0.0,
        0.1,
        1 / 3,
        1e22,
        5e-324,
        2.2250738585072014e-308,
        1.7976931348623157e308,
        math.inf,
        -math.inf,
        math.nan,
    ],
)
def test_floats_keep_their_bits(number: float, tmp_path: Path) -> None:
    assert same(again({"number": number}, tmp_path)["number"], number)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (2, 3, 5)], ids=str)
def test_tensors_of_every_type_and_shape(dtype: torch.dtype, shape: tuple[int, ...], tmp_path: Path) -> None:
    numel = math.prod(shape)
    tensor = torch.arange(numel).reshape(shape).to(torch.float32).to(dtype)
    assert same(again([tensor], tmp_path), [tensor])


def test_special_numbers_in_tensors_stay(tmp_path: Path) -> None:
    tensor = torch.tensor([math.nan, math.inf, -math.inf, -0.0])
    assert same(again(tensor, tmp_path), tensor)


def test_strides_gradients_and_views_do_not_matter(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    complex_ = torch.tensor([1 + 2j, 3 - 4j])
    tree = {
        "transposed": base.T,
        "every other": base[::2, ::3],
        "expanded": torch.ones(1, 3).expand(4, 3),
        "row": base[1],
        "parameter": torch.nn.Parameter(base[2:]),
        "conjugate": complex_.conj(),
        "negative": complex_.conj().imag,
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    back = again(tree, tmp_path)
    for name, tensor in tree.items():
        assert torch.equal(back[name], tensor.detach()), name
        assert back[name].is_contiguous()
        assert not back[name].requires_grad


def test_a_tensor_that_occurs_twice_is_stored_once_and_comes_back_as_one(tmp_path: Path) -> None:
    weight = torch.randn(1000)
    parameter = torch.nn.Parameter(weight)  # the same memory
    back = again(
        {"one": weight, "two": [weight, parameter], "first half": weight[:500], "copy": weight.clone()}, tmp_path
    )
    assert back["one"] is back["two"][0]
    assert back["one"] is back["two"][1]
    assert same(back["first half"], weight[:500])
    assert back["first half"].data_ptr() != back["one"].data_ptr()
    assert back["copy"].data_ptr() != back["one"].data_ptr()
    assert (tmp_path / "tree.safetensors").stat().st_size < 2.5 * weight.nbytes + 1000


def test_empty_tensors_are_not_taken_for_one(tmp_path: Path) -> None:
    tree = [torch.empty(0), torch.empty(0, 3), torch.empty(0)]
    assert same(again(tree, tmp_path), tree)


@pytest.mark.parametrize(
    "tree",
    [
        {1: torch.ones(1), "1": torch.zeros(1)},
        {"a/b": torch.ones(1), "a": {"b": torch.zeros(1)}},
        {"__metadata__": torch.ones(1)},
        {"": torch.ones(1), "tensor": torch.zeros(1)},
        {"ключ\n\x00\"'": torch.ones(1)},
        {"dict": {"tensor": "tensor"}, "tuple": torch.ones(2)},
        torch.ones(3),
        [],
        None,
    ],
    ids=str,
)
def test_names_that_could_be_mixed_up(tree: Any, tmp_path: Path) -> None:
    assert same(again(tree, tmp_path), tree)


def test_an_ordered_dict_comes_back_as_a_dict(tmp_path: Path) -> None:
    back = again(OrderedDict(b=1, a=2), tmp_path)
    assert type(back) is dict
    assert list(back) == ["b", "a"]


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    tree = {"b": torch.arange(3), "a": [torch.ones(2, dtype=torch.bfloat16), torch.tensor(True)], 3: 0.1}
    for stem in ("one", "two"):
        save_tree(tree, tmp_path, stem)
    for kind in ("json", "safetensors"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


def test_other_libraries_read_what_we_write_and_the_other_way_round(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 2), "b": torch.arange(5, dtype=torch.uint8), "c": torch.tensor(1.5).bfloat16()}
    save_tensors(tensors, tmp_path / "ours")
    assert same(safetensors.torch.load_file(tmp_path / "ours"), {name: tensors[name] for name in "acb"})
    safetensors.torch.save_file(tensors, tmp_path / "theirs")
    assert same({name: load_tensors(tmp_path / "theirs")[name] for name in "abc"}, tensors)


@pytest.mark.gpu
def test_a_tree_from_a_device_and_to_a_device(tmp_path: Path) -> None:
    tree = {"a": torch.randn(5, 7, device="cuda").T, "b": torch.tensor(3, device="cuda"), "c": torch.ones(2)}
    back = again(tree, tmp_path)
    assert all(torch.equal(back[name], tree[name].cpu()) and not back[name].is_cuda for name in tree)
    assert all(tensor.is_cuda for tensor in load_tree(tmp_path, "tree", device="cuda").values())


def test_what_is_loaded_does_not_depend_on_the_file_any_more(tmp_path: Path) -> None:
    tensor = torch.randn(100_000)
    save_tree([tensor], tmp_path, "tree")
    back = load_tree(tmp_path, "tree")
    os.truncate(tmp_path / "tree.safetensors", 0)
    assert same(back, [tensor])


# -------------------------------------------------------------------------------------------------- refused when saving


class OwnTensor(torch.Tensor):
    """A subclass with who knows what inside."""


@pytest.mark.parametrize(
    "value, reason",
    [
        (np.float64(1.0), r"a/0: a checkpoint cannot hold a numpy.float64; .* with .item\(\)"),
        (np.int64(1), "numpy.int64"),
        (np.ones(2), "numpy.ndarray; turn it into"),
        (object(), "a/0: a checkpoint cannot hold a object; it holds tensors"),
        ({1, 2}, "cannot hold a set"),
        (b"bytes", "cannot hold a bytes"),
        (1j, "cannot hold a complex"),
        (torch.float32, "cannot hold a torch.dtype"),
        (torch.Size([1, 2]), "cannot hold a torch.Size"),
        (namedtuple("Pair", "a b")(1, 2), "Pair"),
        (lambda: None, "function"),
        (10**5000, "cannot hold a int"),
        ("\ud800", "no valid Unicode"),
        ({(1, 2): 3}, r"a/0: key \(1, 2\) is a tuple"),
        ({True: 3}, "key True is a bool"),
        ({1.5: 3}, "key 1.5 is a float"),
        ({"\ud800": 3}, "no valid Unicode"),
        (torch.ones(2, device="meta"), "a/0: .* not a meta tensor"),
        (torch.eye(2).to_sparse(), "not a torch.sparse_coo tensor"),
        (torch.ones(2, dtype=torch.complex128), "cannot hold the type torch.complex128"),
        (torch.ones(2).as_subclass(OwnTensor), "OwnTensor; gather it first"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_refuses_by_path_what_would_not_come_back(value: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=reason):
        save_tree({"a": [value]}, tmp_path, "tree")
    assert os.listdir(tmp_path) == []


def test_refuses_what_contains_itself_or_is_too_deep(tmp_path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(CheckpointError, match="nested deeper than 100 levels, or it contains itself"):
        save_tree(loop, tmp_path, "tree")
    for wrap in (lambda tree: [tree], lambda tree: (tree,), lambda tree: {0: tree}, lambda tree: {"a": tree}):
        tree: Any = torch.ones(1)
        for _ in range(MAX_DEPTH):
            tree = wrap(tree)
        assert same(again(tree, tmp_path), tree)
        with pytest.raises(CheckpointError, match="nested deeper"):
            save_tree(wrap(tree), tmp_path, "deeper")


def test_too_little_space_is_found_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: SimpleNamespace(free=4_000_000))
    weight = torch.zeros(500_000)
    save_tree([weight, weight], tmp_path, "fits")  # two million bytes: what is shared counts once
    with pytest.raises(CheckpointError, match=r"4\.0 MB free, the checkpoint needs 5\.1 MB"):
        save_tree([weight, weight.clone()], tmp_path, "too much")
    assert sorted(os.listdir(tmp_path)) == ["fits.json", "fits.safetensors"]


# ------------------------------------------------------------------------------------------------- refused when loading


@pytest.mark.parametrize(
    "data, reason",
    [
        ({}, "0 keys"),
        ({"dict": {}, "tuple": []}, "2 keys"),
        ({"_target_": "os.system"}, "'_target_' is no kind of value"),
        ({"__reduce__": ["os.system", ["true"]]}, "'__reduce__' is no kind of value"),
        ({"tensor": "missing"}, "names the tensor 'missing'"),
        ({"tensor": 0}, "names the tensor '0'"),
        ({"tensor": ["a"]}, "names the tensor"),
        ({"tuple": {}}, "a tuple is no list"),
        ({"dict": []}, "a dict is no object"),
        ({"items": {}}, "items are no pairs"),
        ({"items": [[1]]}, "items are no pairs"),
        ({"items": [[1, 2], [1, 3]]}, "key of its own"),
        ({"items": [[[], 2]]}, "items are no pairs"),
        ({"items": [[True, 2]]}, "items are no pairs"),
        ({"float": "NaN"}, "no special float"),
        ({"float": 1.0}, "no special float"),
        ([1, [{"unknown": 1}]], "'unknown' is no kind of value"),
        ([], "holds a, which tree.json does not name"),
    ],
    ids=str,
)
def test_json_that_we_do_not_write(data: Any, reason: str, tmp_path: Path) -> None:
    save_tree({"a": torch.ones(1)}, tmp_path, "tree")
    (tmp_path / "tree.json").write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=reason):
        load_tree(tmp_path, "tree")


@pytest.mark.parametrize(
    "text", ["[" * 900 + "]" * 900, "[" * 10**5, "1e999", "[NaN]", '{"dict":' * 300 + "1" + "}" * 300]
)
def test_json_without_bounds(text: str, tmp_path: Path) -> None:
    save_tree([], tmp_path, "tree")
    (tmp_path / "tree.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"tree.json is damaged"):
        load_tree(tmp_path, "tree")


def _safetensors(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _row(dtype: str = "F32", shape: tuple[int, ...] = (1,), offsets: tuple[int, int] = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 101_000_000) + b"{}",
        struct.pack("<Q", 100) + b"{}",
        _safetensors(b"[]"),
        _safetensors(b"not json"),
        _safetensors({"a": _row()}, b""),
        _safetensors({"a": _row()}, b"12345678"),
        _safetensors({"a": _row(), "b": _row(offsets=(2, 6))}, b"123456"),
        _safetensors({"a": _row(), "b": _row(offsets=(8, 12))}, b"123456789012"),
        _safetensors({"a": _row(shape=(2,))}, b"1234"),
        _safetensors({"a": _row(shape=(-1,))}, b"1234"),
        _safetensors({"a": _row(shape=(2**62, 2**62))}, b"1234"),
        _safetensors({"a": _row(dtype="F31")}, b"1234"),
        _safetensors({"a": _row(offsets=(4, 0))}, b"1234"),
        _safetensors(b'{"a":' + json.dumps(_row()).encode() + b',"a":' + json.dumps(_row()).encode() + b"}", b"1234"),
        _safetensors({"a": {"_target_": "os.system"}}, b"1234"),
        b"\x80\x04\x95" + b"pickle" * 10,
    ],
    ids=lambda content: str(content[:40]),
)
def test_a_tensor_file_of_garbage(content: bytes, tmp_path: Path) -> None:
    save_tree({"a": torch.ones(1)}, tmp_path, "tree")
    (tmp_path / "tree.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tree\.safetensors"):
        load_tree(tmp_path, "tree")


@pytest.mark.parametrize("name", ["tree.json", "tree.safetensors"])
def test_a_missing_file_or_a_link(name: str, tmp_path: Path) -> None:
    save_tree([torch.ones(1)], tmp_path, "tree")
    (tmp_path / name).rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=f"{name}: No such file"):
        load_tree(tmp_path, "tree")
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=f"{name}: .*symbolic link"):
        load_tree(tmp_path, "tree")


@pytest.mark.parametrize("name", ["tree.json", "tree.safetensors"])
def test_random_mutations_give_a_tree_or_a_checkpoint_error(name: str, tmp_path: Path) -> None:
    save_tree({"a": [torch.arange(3), (1.5, None)], 2: {"b": torch.ones(2), "c": float("nan")}}, tmp_path, "tree")
    original = (tmp_path / name).read_bytes()
    generator = random.Random(name)
    outcomes = {"tree": 0, "error": 0}
    for _ in range(400):
        damaged = bytearray(original)
        for _ in range(generator.randrange(1, 4)):
            position = generator.randrange(len(damaged))
            if generator.random() < 0.3:
                del damaged[position : position + generator.randrange(1, 9)]
                damaged = damaged or bytearray(b"x")
            else:
                damaged[position] = generator.choice(b'{}[]",:0129.eE-+\x00\xffx')
        (tmp_path / name).write_bytes(damaged)
        try:
            load_tree(tmp_path, "tree")
            outcomes["tree"] += 1
        except CheckpointError:
            outcomes["error"] += 1
    assert outcomes["error"] > 200
