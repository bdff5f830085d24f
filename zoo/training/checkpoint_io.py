"""Lightning's checkpoints in zoo's format: a folder of safetensors and JSON with a verified manifest.

step-N/
    model/          opens by itself: weights, config, tokenizer
    model-ema/      the same with the moving average of the weights, once there is one
    trainer.*       optimizer, loop counters, callbacks
    standing.json   which steps are the best so far, and whether the run ended early here
    manifest.json   size and SHA-256 of every file, written last
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import CheckpointIO

from zoo.checkpoint.folder import verify_folder, write_folder
from zoo.checkpoint.model import PARTS, TRAINING_FORMAT, load_weights, save_model
from zoo.checkpoint.standing import RunStanding, write_standing
from zoo.checkpoint.tensors import load_tree, save_tree
from zoo.models.base import Model
from zoo.tokenizer.tokenizer import Tokenizer
from zoo.training.ema import WeightAverage

PREFIX = "model."
"""Where the TrainingModule holds the model."""


class FolderCheckpointIO(CheckpointIO):
    """Writes and reads training checkpoints.

    Args:
        model: whose weights and config go into `model/`.
        tokenizer: goes with them.
        average: of the weights; None: none is kept.
        standing: how the run stands at a step; None: nobody keeps track of that.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        average: WeightAverage | None = None,
        standing: Callable[[int], RunStanding] | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.average = average
        self.standing = standing

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes the folder at once or not at all.

        A folder of this step that is there already is damaged, or the run would have continued from it: it is replaced.
        """
        rest = {key: value for key, value in checkpoint.items() if key != "state_dict"}

        def write(folder: Path) -> None:
            save_model(self.model, self.tokenizer, folder / PARTS["raw"])
            if self.average is not None and self.average.begun:
                with self.average.applied():
                    save_model(self.model, self.tokenizer, folder / PARTS["ema"])
            save_tree(rest, folder, "trainer")
            if self.standing is not None:
                write_standing(folder, self.standing(checkpoint["global_step"]))

        write_folder(Path(path), write, format=TRAINING_FORMAT, replace=True)

    def load_checkpoint(self, path: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Verifies the folder, fills the model, gives the rest; raises CheckpointError where anything is wrong."""
        folder = Path(path)
        verify_folder(folder, format=TRAINING_FORMAT)
        tree: dict[str, Any] = load_tree(folder, "trainer")
        load_weights(self.model, folder / PARTS["raw"])
        if self.average is not None and (folder / PARTS["ema"]).is_dir():
            self.average.load(folder / PARTS["ema"])
        return {**tree, "state_dict": {f"{PREFIX}{name}": tensor for name, tensor in self.model.state_dict().items()}}

    def remove_checkpoint(self, path: Any) -> None:
        """Never asked for: pruning is the conductor's."""
        raise NotImplementedError("checkpoints are pruned by the conductor")
