"""The Hugging Face hub, the only place in the network that a model is ever fetched from, and only where it is asked
for.

    zoo.load("hub:owner/name")

A name begins with `hub:`, so no local path is taken for one, nor one for a path (a folder of that name: ./hub:…). Only
data is fetched: config, safetensors, the tokenizer's files. What was fetched before is found again without a network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from zoo.errors import CheckpointError, ConfigError

PREFIX = "hub:"
WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.jinja")
UNWANTED = ("onnx/*", "openvino/*", "original/*", "consolidated*", "*training_args*", "*optimizer*")
PUBLISHED: Mapping[str, str] = {
    **{name: f"openai-community/{name}" for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")},
    **{name: f"google-t5/{name}" for name in ("t5-small", "t5-base", "t5-large")},
    **{name: f"google-bert/{name}-uncased" for name in ("bert-base", "bert-large")},
    **{name: f"FacebookAI/{name}" for name in ("roberta-base", "roberta-large")},
    "albert-base": "albert/albert-base-v2",
    "bart-base": "facebook/bart-base",
}
"""Named sizes whose own weights are on the hub, in a form that opens here → owner/name."""
_NAME = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")


def is_hub_name(name: object) -> bool:
    """Whether this names a model of the hub rather than a place on the disk."""
    return isinstance(name, str) and name.startswith(PREFIX)


def on_the_hub(place: Path) -> str:
    """The end of an error about a folder that is missing: what to write if a model of the hub is meant, or ""."""
    is_name = (
        len(place.parts) == 2
        and place.parts[0] != "runs"
        and _NAME.fullmatch(place.as_posix())
        and not place.parent.exists()
    )
    return f"; for the model of the Hugging Face hub write {PREFIX}{place.as_posix()}" if is_name else ""


def fetch(name: str, revision: str | None = None) -> Path:
    """Brings a model of the hub into the hub's cache on this machine.

    Args:
        name: "hub:owner/name".
        revision: a branch, a tag or a commit; None: the main branch.

    Returns:
        Its folder.

    Raises:
        ConfigError: this is no name of the hub, or huggingface_hub is not installed.
        CheckpointError: it is not there, or the hub cannot be reached and nothing was fetched before.
    """
    owned = name.removeprefix(PREFIX)
    if not _NAME.fullmatch(owned):
        raise ConfigError(f"{name!r} is no model of the hub; write hub:owner/name")
    try:
        import huggingface_hub
    except ImportError:
        raise ConfigError(
            f"{name} is a model of the Hugging Face hub; to fetch it, install huggingface_hub: "
            "pip install '.[hub]' in the clone"
        ) from None
    try:
        folder = huggingface_hub.snapshot_download(
            owned, revision=revision, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED)
        )
    except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        at = f" at the revision {revision}" if revision else ""
        owner = "" if "/" in owned else f"; models of the hub are named {PREFIX}owner/name"
        raise CheckpointError(
            f"cannot fetch {name}{at}: {reason.rstrip('.'):.400}{owner}. "
            "Without a network, name a folder on this machine instead"
        ) from None
    return Path(folder)
