"""The hub is asked only where it is named, for data only, and says clearly where it cannot be reached."""

import json
import re
import sys
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import transformers

import zoo
from zoo.errors import CheckpointError, ConfigError
from zoo.hub import PUBLISHED, UNWANTED, WANTED, is_hub_name


class HfHubHTTPError(OSError):
    """As huggingface_hub calls it."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A huggingface_hub that has one model, in a cache laid out as the real one."""
    module, errors = ModuleType("huggingface_hub"), ModuleType("huggingface_hub.errors")
    asked: list[tuple[str, Any]] = []

    def snapshot_download(
        repo_id: str, *, revision: str | None = None, allow_patterns: list[str], ignore_patterns: list[str]
    ) -> str:
        asked.append((repo_id, revision))
        assert allow_patterns == list(WANTED)
        assert ignore_patterns == list(UNWANTED)
        if repo_id == "owner/offline":
            raise ConnectionError("cannot reach the hub, and nothing is in the cache")
        if repo_id != "owner/small":
            raise HfHubHTTPError("404: Repository Not Found")
        return str(tmp_path / "models--owner--small" / "snapshots" / "0123")

    errors.HfHubHTTPError = HfHubHTTPError  # type: ignore[attr-defined]
    module.snapshot_download, module.errors, module.asked = snapshot_download, errors, asked  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    return module


def cached(tmp_path: Path) -> transformers.GPT2LMHeadModel:
    entry = tmp_path / "models--owner--small"
    folder = entry / "snapshots" / "0123"
    (entry / "blobs").mkdir(parents=True)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, n_positions=12, vocab_size=40)
    ).eval()
    model.save_pretrained(folder)
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(entry / "blobs" / str(number))
        path.symlink_to(Path("..", "..", "blobs", str(number)))
    return model


def test_a_name_of_the_hub_opens(hub: ModuleType, tmp_path: Path) -> None:
    model, tokens = cached(tmp_path), torch.arange(5)[None]
    opened = zoo.load("hub:owner/small", revision="v1")
    assert hub.asked == [("owner/small", "v1")]
    with torch.no_grad():
        torch.testing.assert_close(opened(tokens=tokens)["language_model"], model(tokens).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("path", ["owner/small", "./hub:owner/small", Path("hub:owner/small")])
def test_a_path_is_never_taken_for_a_name(path: str | Path, hub: ModuleType) -> None:
    assert not is_hub_name(path)
    with pytest.raises(CheckpointError, match="is missing"):
        zoo.load(path)
    assert hub.asked == []


@pytest.mark.parametrize("name", ["hub:", "hub:a/b/c", "hub:../x", "hub:/etc", "hub:a b"])
def test_what_is_no_name_is_refused(name: str, hub: ModuleType) -> None:
    with pytest.raises(ConfigError, match="write hub:owner/name"):
        zoo.load(name)
    assert hub.asked == []


def test_what_cannot_be_fetched_is_told(hub: ModuleType) -> None:
    with pytest.raises(CheckpointError, match=r"cannot fetch hub:owner/offline: cannot reach the hub.*name a folder"):
        zoo.load("hub:owner/offline")
    with pytest.raises(CheckpointError, match="cannot fetch hub:owner/gone at the revision v2: 404"):
        zoo.load("hub:owner/gone", revision="v2")


def test_how_names_are_formed_is_told(hub: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="models of the hub are named hub:owner/name"):
        zoo.load("hub:gpt2")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        zoo.load("runs/gone")
    assert "hub:" not in str(caught.value)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"pip install '\.\[hub\]' in the clone"):
        zoo.load("hub:owner/small")


def test_a_revision_belongs_to_the_hub(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(ConfigError, match=r"revision: .* names nothing of a folder"):
        zoo.load(tmp_path, revision="main")


@pytest.mark.parametrize(
    "name, is_wanted",
    [
        ("config.json", True),
        ("model-00001-of-00002.safetensors", True),
        ("spiece.model", True),
        ("source.spm", True),
        ("1_Pooling/config.json", True),
        ("chat_template.jinja", True),
        ("pytorch_model.bin", False),
        ("modeling_custom.py", False),
        ("tf_model.h5", False),
        ("onnx/config.json", False),
        ("original/params.json", False),
        ("consolidated.safetensors", False),
    ],
)
def test_only_data_that_opens_here_is_fetched(name: str, is_wanted: bool) -> None:
    wanted = any(fnmatch(name, pattern) for pattern in WANTED)
    assert (wanted and not any(fnmatch(name, pattern) for pattern in UNWANTED)) == is_wanted


@pytest.mark.usefixtures("without_a_fake")
def test_the_real_package_says_that_it_is_offline() -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(CheckpointError, match="cannot fetch hub:owner/absent"):
        zoo.load("hub:owner/absent")


@pytest.fixture
def without_a_fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache; tests/conftest.py has set HF_HUB_OFFLINE."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


def test_a_size_without_weights_names_those_that_were_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(PUBLISHED) < set(zoo.list_models())
    for name in zoo.list_models():
        with pytest.raises(
            CheckpointError, match=f"^{re.escape(name)} is missing; {re.escape(name)} is a size of"
        ) as told:
            zoo.load(name)
        assert (f"hub:{PUBLISHED.get(name)}" in str(told.value)) == (name in PUBLISHED)
