"""One reading of a file gives its tensors, its hash, and what of it is not finite."""

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from zoo.checkpoint import verified
from zoo.checkpoint.tensors import DTYPES, save_tensors
from zoo.checkpoint.verified import NOT_FINITE, damage_first, hashing, is_finite, load_verified
from zoo.errors import CheckpointError

FLOATS = [dtype for dtype in DTYPES.values() if dtype.is_floating_point]


def same(one: Tensor, other: Tensor) -> bool:
    """Bit for bit."""
    alike = one.dtype == other.dtype and one.shape == other.shape
    return alike and one.reshape(-1).view(torch.uint8).equal(other.reshape(-1).view(torch.uint8))


def bits(*shape: int, dtype: torch.dtype) -> Tensor:
    """Any bits; with NaN and infinity among them."""
    generator = torch.Generator().manual_seed(len(shape))
    highest = 2 if dtype is torch.bool else 256
    numbers = torch.randint(highest, (*shape, dtype.itemsize), generator=generator, dtype=torch.uint8)
    return numbers.view(dtype).reshape(shape)


def write(tensors: dict[str, Tensor], path: Path) -> str:
    """Writes a file; gives its SHA-256."""
    save_tensors(tensors, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("piece_bytes", [16, 48, verified.PIECE_BYTES])
def test_what_is_read_is_what_was_written(piece_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "PIECE_BYTES", piece_bytes)
    shapes = [(7, 5), (3,), (), (0,), (2, 0, 3), (1, 2, 3, 4)]
    tensors = {f"{code}.{shape}": bits(*shape, dtype=dtype) for code, dtype in DTYPES.items() for shape in shapes}
    found = load_verified(tmp_path / "ours", write(tensors, tmp_path / "ours")).tensors
    assert found.keys() == tensors.keys()
    assert all(same(found[name], tensors[name]) for name in tensors)
    assert all(tensor.data_ptr() % tensor.element_size() == 0 for tensor in found.values())


@pytest.mark.parametrize("piece_bytes", [16, 48, verified.PIECE_BYTES])
def test_other_types_are_what_torch_makes_of_them(
    piece_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "PIECE_BYTES", piece_bytes)
    shapes = [(7, 5), (3,), (), (0,), (2, 0, 3), (1, 2, 3, 4)]
    tensors = {f"{code}.{shape}": bits(*shape, dtype=dtype) for code, dtype in DTYPES.items() for shape in shapes}
    sha256 = write(tensors, tmp_path / "ours")
    as_stored = load_verified(tmp_path / "ours", sha256)
    for dtype in (torch.bfloat16, torch.float64):
        turned = load_verified(tmp_path / "ours", sha256, dtype=dtype)
        assert turned.not_finite == as_stored.not_finite
        for name, tensor in as_stored.tensors.items():
            expected = tensor.to(dtype) if tensor.dtype.is_floating_point else tensor
            found = turned.tensors[name]
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            assert torch.equal(found.nan_to_num(7), expected.nan_to_num(7)) or same(found, expected), name
    with pytest.raises(CheckpointError, match="ours has another content"):
        load_verified(tmp_path / "ours", "0" * 64, dtype=torch.bfloat16)


def test_a_tensor_in_another_type_does_not_depend_on_the_file(tmp_path: Path) -> None:
    path, tensors = tmp_path / "file", {"weight": torch.randn(40, 50)}
    found = load_verified(path, write(tensors, path), dtype=torch.bfloat16).tensors
    path.write_bytes(bytes(path.stat().st_size))  # a mapped tensor would change
    assert torch.equal(found["weight"], tensors["weight"].bfloat16())


def test_files_of_the_library_itself(tmp_path: Path) -> None:
    tensors = {"b": torch.randn(3, 5), "a": torch.arange(3, dtype=torch.uint8), "c": torch.randn(2).bfloat16()}
    safetensors.torch.save_file(tensors, tmp_path / "theirs")
    found = load_verified(tmp_path / "theirs", hashlib.sha256((tmp_path / "theirs").read_bytes()).hexdigest())
    assert all(same(found.tensors[name], tensors[name]) for name in tensors)
    assert found.not_finite == []


def test_what_is_written_to_a_tensor_stays_in_it(tmp_path: Path) -> None:
    path, tensors = tmp_path / "file", {"a": torch.randn(100), "b": torch.randn(100)}
    expected = write(tensors, path)
    found, again = load_verified(path, expected).tensors, load_verified(path, expected).tensors
    found["b"].fill_(0.0)
    assert same(found["a"], tensors["a"])
    assert same(again["b"], tensors["b"])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == expected


def test_the_file_may_go_and_another_come(tmp_path: Path) -> None:
    path, tensors = tmp_path / "file", {"a": torch.randn(5000)}
    found = load_verified(path, write(tensors, path)).tensors
    path.unlink()
    save_tensors({"a": torch.zeros(5000)}, path)
    assert same(found["a"], tensors["a"])


def test_a_change_anywhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "file"
    expected = write({"weight": torch.randn(4, 3), "count": torch.tensor(3)}, path)
    content = path.read_bytes()
    generator, numbers = random.Random(0), 8 + 12 * 4
    for place in (0, 7, 8, *generator.sample(range(len(content)), 20), len(content) - numbers, len(content) - 1):
        damaged = bytearray(content)
        damaged[place] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError) as caught, damage_first(path, expected):
            load_verified(path, expected)
        assert "file has another content than when it was written (SHA-256" in str(caught.value)
    path.write_bytes(content)
    assert load_verified(path, expected).tensors.keys() == {"weight", "count"}


def test_hashing_goes_on_beside_other_work_and_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tensors = tmp_path / "file", {"weight": torch.randn(40, 50)}
    expected = write(tensors, path)
    with hashing(path) as hashed:
        assert hashed.digest.result() == expected
        assert torch.equal(load_verified(path, expected, hashed=hashed).tensors["weight"], tensors["weight"])
    with hashing(path) as hashed, pytest.raises(CheckpointError, match="another content"):
        load_verified(path, "0" * 64, hashed=hashed)
    monkeypatch.setattr(verified, "HASHED_BYTES", 1)
    with pytest.raises(ValueError, match="other reasons"), hashing(path) as hashed:
        raise ValueError("other reasons")
    assert hashed.digest.result() in ("", expected)
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="it is empty"), hashing(path):
        pass


def test_a_file_cut_short_or_gone(tmp_path: Path) -> None:
    expected = write({"weight": torch.randn(4, 3)}, tmp_path / "file")
    (tmp_path / "file").write_bytes((tmp_path / "file").read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="damaged or no safetensors file"):
        load_verified(tmp_path / "file", expected)
    with pytest.raises(CheckpointError, match="cannot read"):
        load_verified(tmp_path / "absent", expected)


def test_an_error_about_a_file_that_is_whole_stays(tmp_path: Path) -> None:
    expected = write({"weight": torch.randn(4, 3)}, tmp_path / "file")
    with pytest.raises(CheckpointError, match="other reasons"), damage_first(tmp_path / "file", expected):
        raise CheckpointError("other reasons")


def test_every_float_has_its_rule() -> None:
    assert set(NOT_FINITE) == set(FLOATS)
    for dtype, (word, _) in NOT_FINITE.items():
        assert np.dtype(word).itemsize == dtype.itemsize


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_not_finite_is_what_torch_says(dtype: torch.dtype) -> None:
    if dtype.itemsize <= 2:  # all there are
        words = np.arange(1 << 8 * dtype.itemsize).astype(f"u{dtype.itemsize}")
        numbers = torch.from_numpy(words.view(np.uint8)).view(dtype)
    else:
        limits = torch.finfo(dtype)
        edges = [0.0, -0.0, limits.max, limits.min, limits.tiny, float("inf"), float("-inf"), float("nan")]
        numbers = torch.cat([torch.tensor(edges, dtype=dtype), bits(5000, dtype=dtype)])
    finite = (numbers.float() if dtype.itemsize == 1 else numbers).isfinite()  # torch has none for 8 bits
    words = numbers.view(torch.uint8).reshape(-1, dtype.itemsize)
    assert is_finite(words[finite].reshape(-1).view(dtype))
    broken = words[~finite].reshape(-1).view(dtype)
    assert len(broken)
    assert not any(is_finite(number) for number in broken)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_one_number_among_many(dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "PIECE_BYTES", 64)
    for place in (0, 17, 99):
        numbers = torch.full((100,), 1.0).to(dtype)
        assert is_finite(numbers)
        numbers[place] = float("nan")
        assert not is_finite(numbers)
        assert not is_finite(numbers.reshape(10, 10).T)
        path = tmp_path / str(place)
        tensors = {"sound": torch.ones(3), "broken": numbers, "whole": torch.arange(3)}
        assert load_verified(path, write(tensors, path)).not_finite == ["broken"]
