"""zoo: one configurable block library, assembled into BERT, GPT and T5, pretrained from recipes.

    import zoo
    model = zoo.create_model("gpt2", positions={"kind": "alibi"})
    logits = model(tokens=tokens)["language_model"]

The names below are loaded when they are first used, so that `import zoo` stays light; errors is there at once.
"""

from typing import TYPE_CHECKING, Any

from zoo import errors

if TYPE_CHECKING:
    from zoo.importing import import_model
    from zoo.loading import load
    from zoo.models.create import create_model, model_config
    from zoo.models.presets import list_models
    from zoo.pretrained import Pretrained
    from zoo.saving import export, save
    from zoo.training.held_out import evaluate
    from zoo.training.imports import import_blocks
    from zoo.training.shipped import pretrain

__version__ = "0.1.0"
__all__ = [
    "Pretrained",
    "create_model",
    "errors",
    "evaluate",
    "export",
    "import_blocks",
    "import_model",
    "list_models",
    "load",
    "model_config",
    "pretrain",
    "save",
]

_HOME = {
    "create_model": "zoo.models.create",
    "model_config": "zoo.models.create",
    "list_models": "zoo.models.presets",
    "load": "zoo.loading",
    "save": "zoo.saving",
    "export": "zoo.saving",
    "import_model": "zoo.importing",
    "Pretrained": "zoo.pretrained",
    "pretrain": "zoo.training.shipped",
    "evaluate": "zoo.training.held_out",
    "import_blocks": "zoo.training.imports",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}; it has: {', '.join(__all__)}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)
