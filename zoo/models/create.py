"""From a name or a config to a model."""

from __future__ import annotations

import dataclasses
from typing import Any

from zoo.config import Config, Source, load_config, setting, to_mapping
from zoo.errors import ConfigError
from zoo.field_types import check_value
from zoo.models.base import Model, ModelConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class _OnlyModel(Config):
    model: ModelConfig = setting(doc="the model")


def model_config(model: str | ModelConfig | dict[str, Any], **changes: Any) -> ModelConfig:
    """The config of a named size, or a given one, with some fields changed.

    Args:
        model: a name of `list_models()`, a ModelConfig, or plain data with a `kind`.
        changes: fields of ModelConfig; groups as plain data (`positions={"kind": "alibi"}`) or config objects.

    Raises:
        ConfigError: an unknown name or field, a wrong value, or choices that do not go together.
    """
    base = {"preset": model} if isinstance(model, str) else to_mapping(model)
    changes = {name: _plain(value) for name, value in changes.items()}
    sources = [Source("model", {"model": base}), Source("arguments", {"model": changes})]
    try:
        resolved = load_config(_OnlyModel, sources).config.model
    except ConfigError as error:
        raise error.renamed(lambda key: key.removeprefix("model.")) from None
    assert isinstance(resolved, ModelConfig)
    return resolved


def create_model(model: str | ModelConfig | dict[str, Any], *, seed: int = 0, **changes: Any) -> Model:
    """A model with freshly drawn weights.

        create_model("gpt2", positions={"kind": "alibi"})

    Args:
        model: a name of `list_models()`, a ModelConfig, or plain data with a `kind`.
        seed: a whole number from 0 on; the same gives the same weights. The global random stream is not used.
        changes: fields of ModelConfig to change, groups as plain data or config objects.

    Raises:
        ConfigError: an unknown name or field, a wrong value, or choices that do not go together.
    """
    try:
        check_value(int, seed, {"minimum": 0})
    except ConfigError as error:
        raise error.under("seed") from None
    return model_config(model, **changes).build(seed)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(child) for name, child in value.items()}
    return to_mapping(value)
