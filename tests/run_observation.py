"""What can be seen of a run, cheap things first; two runs are compared look by look until they differ.

    launch      whether there is what it wants to run on
    tokenizer   its vocabulary, what it makes of some texts
    corpus      tokens and documents of the stores, both sides of the split, the cache that they lie in
    rows        training steps as the first rank gets them, and how many there are; the first validation batches
    weights     of the model before the first step
    updates     what the optimizer makes of four gradients of all sizes, along the schedule
    run         the run itself: logs, files, checkpoints, words on the terminal

What merely repeats the config (config.yaml, the report, fingerprints of settings) is no effect and is not looked at.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import io
import itertools
import json
import multiprocessing
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from tests.training.test_wandb_log import FakeWandb
from tests.training.tiny import CLOCKS, rows_without_clocks
from zoo.checkpoint.folder import steps_of
from zoo.checkpoint.standing import read_standing
from zoo.checkpoint.tensors import load_tensors
from zoo.data import workers
from zoo.data.blend import portions_of
from zoo.data.corpus import Corpus, find_or_train, load_corpus, read_corpus
from zoo.training import evaluation
from zoo.training import run as training_run
from zoo.training.accumulation import resolve
from zoo.training.budget import Spent
from zoo.training.config import RunConfig
from zoo.training.datamodule import DataModule
from zoo.training.init_from import begin
from zoo.training.launch import check_launch
from zoo.training.optimizers import shown_weights
from zoo.training.schedule import Course
from zoo.training.trainer import make_trainer

PROBES = ["Größe ﬁn Gro\u0308ße ½", "baKO 31415 2026 <|x|> don't", "  de,li.  muse\n\n你"]
SAME = 1e-9
"""Of floats: a relative difference up to this is rounding."""
MOST_STEPS = 50


class Look(NamedTuple):
    """One thing to look at: its name, and how it is seen."""

    name: str
    at: Callable[[Observed], Any]


class Observed:
    """A run under observation; each look is taken once."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self._seen: dict[str, Any] = {}

    def see(self, look: Look) -> Any:
        """What is there; raises ZooError where the run refuses to go on."""
        if look.name not in self._seen:
            self._seen[look.name] = look.at(self)
        return self._seen[look.name]

    @functools.cached_property
    def corpus(self) -> Corpus:
        """The text as tokens."""
        config = self.config
        sentences = any(objective.needs_sentences for objective in config.objectives.values())
        return read_corpus(config.data, find_or_train(config.data, config.tokenizer, False), sentences, False)

    @functools.cached_property
    def prepared(self) -> training_run.Prepared:
        """Rows and model; with a number of microbatches."""
        prepared = training_run.prepare(self.config, False, self.corpus)
        return prepared._replace(config=resolve(prepared.config, "cpu"))

    def data_module(self) -> DataModule:
        """What hands out the steps, as to the only rank of a run that begins."""
        data = training_run._data_module(self.prepared)
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(global_rank=0, world_size=1, global_step=0, strategy=strategy)
        return data


# ---------------------------------------------------------------------------------------------------------- cheap looks


def _launch(seen: Observed) -> None:
    check_launch(seen.config.trainer, False)


def _tokenizer(seen: Observed) -> Any:
    tokenizer = find_or_train(seen.config.data, seen.config.tokenizer, False)
    ids = tokenizer.encode_batch([text for text in PROBES if not tokenizer._special.closed])
    vocabulary = json.loads(tokenizer.definition)["model"].get("vocab")
    return [vocabulary, tokenizer.roles, tokenizer.sentinels, ids, [tokenizer.decode(each) for each in ids]]


def _corpus(seen: Observed) -> Any:
    found: list[Any] = []
    for name, store in seen.corpus.stores.items():
        places = (store.tokens, store.documents, store.sentences, store.bytes, store.num_read, store.dropped)
        found.append([name, str(store.folder.parent), *places])
    for side in (seen.corpus.training, seen.corpus.validation):
        found += [[portion.name, portion.documents.starts, portion.documents.stops] for portion in portions_of(side)]
    return found


def _rows(seen: Observed) -> Any:
    loader = seen.data_module().train_dataloader()
    steps = list(itertools.islice(loader.sampler, MOST_STEPS))
    found: list[Any] = [len(steps)]
    for step in steps[:4]:
        for parts in loader.dataset[step].microbatches:
            found.append([[part.names, part.batch.inputs, part.batch.labels] for part in parts])
    if seen.prepared.validation is not None:
        for group in seen.prepared.validation.groups:
            found.append(group.arrays(np.zeros(8, np.int64), np.arange(8) % group.num_rows))
    return found


def _weights(seen: Observed) -> Any:
    model = seen.prepared.module.model
    begin(seen.config, model, seen.corpus.tokenizer, Path("nowhere"), is_owner=False)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _updates(seen: Observed) -> Any:
    """How far four steps move each weight, and where it is shown. Gradients are from 1 down to 1e-15, for every eps."""
    config = seen.prepared.config
    model = copy.deepcopy(seen.prepared.module.model).double()
    optimizer = config.optimizer.build(model, model.config.initialization)
    budget = config.trainer.budget
    course = Course(config.schedule, budget)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    factors = []
    for step in range(8):
        spent, cost = (_spent(budget.unit, share * budget.limit) for share in (step / 8, 1 / 8))
        factors.append(course.factor(spent, cost))
        for group in optimizer.param_groups:
            group["lr"] = config.optimizer.learning_rate * factors[-1] * group["rate_factor"]
        _give_gradients(model, step)
        optimizer.step()
    trained = [parameter.detach() - start for parameter, start in zip(model.parameters(), before, strict=True)]
    with shown_weights(optimizer):
        shown = [parameter.detach() - start for parameter, start in zip(model.parameters(), before, strict=True)]
    return [factors, trained, shown]


def _spent(unit: str, amount: float) -> Spent:
    spent = Spent(clock=3600 * amount)
    if unit != "hours":
        setattr(spent, unit, amount)
    return spent


def _give_gradients(model: nn.Module, step: int) -> None:
    draw = torch.Generator().manual_seed(step)
    for index, parameter in enumerate(model.parameters()):
        gradient = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
        parameter.grad = gradient * 10.0 ** (-5 * (index % 4))


CHEAP = (
    Look("launch", _launch),
    Look("tokenizer", _tokenizer),
    Look("corpus", _corpus),
    Look("rows", _rows),
    Look("weights", _weights),
    Look("updates", _updates),
)


# ---------------------------------------------------------------------------------------- looks that some settings need


def _kept_bytes(seen: Observed) -> int:
    """Bytes that the first forward keeps for its backward."""
    module, sizes = seen.prepared.module, list[int]()
    part = seen.data_module().train_dataloader().dataset[0].microbatches[0][0]

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module._part_loss(part, torch.ones(len(module.objectives)), torch.zeros(len(module.objectives)))
    return sum(sizes)


def _compiled(seen: Observed) -> bool:
    return hasattr(seen.prepared.module.run_backbone, "_torchdynamo_orig_callable")


def _ranks(seen: Observed) -> Any:
    """How many ranks there will be, and on how many machines."""
    trainer = make_trainer(seen.prepared.config, Callback(), TorchCheckpointIO())
    return [trainer.world_size, trainer.num_nodes]


def _loading_processes(seen: Observed) -> int:
    """Processes that make batches beside this one."""
    before = set(multiprocessing.active_children())
    batches = iter(seen.data_module().train_dataloader())
    next(batches)
    return len(set(multiprocessing.active_children()) - before)  # others, from before, may end meanwhile


def _tokenizing_processes(seen: Observed) -> int:
    """Processes that are started to fill a store that is not there yet."""
    started, begin_process = list[Any](), workers.subprocess.Popen

    def counted(*arguments: Any, **more: Any) -> Any:
        started.append(arguments)
        return begin_process(*arguments, **more)

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as cache:
        patch.setattr(workers.subprocess, "Popen", counted)
        data = dataclasses.replace(seen.config.data, cache=cache)
        load_corpus(data, seen.config.tokenizer, progress=False)
    return len(started)


CLOSER = {
    "trainer.recompute**": Look("bytes kept for the backward", _kept_bytes),
    "trainer.compile": Look("whether the backbone is compiled", _compiled),
    "trainer.devices": Look("ranks", _ranks),
    "trainer.num_nodes": Look("ranks", _ranks),
    "trainer.num_workers": Look("processes that make batches", _loading_processes),
    "data.num_workers": Look("processes that tokenize", _tokenizing_processes),
}
"""What shows the effect of settings that change neither a number nor a file."""


# ------------------------------------------------------------------------------------------------------------- the run


def _run(seen: Observed) -> Any:
    """A run to its end in runs/, which is then cleared away."""
    batches: list[int] = []
    parts = evaluation.evaluation_parts

    def watched(group: Any, batch_size: int, *share: int) -> Iterator[Any]:
        batches.append(batch_size)
        return parts(group, batch_size, *share)

    wandb, said = FakeWandb(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setitem(sys.modules, "wandb", wandb)
        patch.setattr(evaluation, "evaluation_parts", watched)
        patch.setattr(training_run, "write_report_or_warn", lambda folder: None)
        try:
            result = training_run.pretrain(seen.config)
            begun = [[one["project"], one["entity"], one["name"]] for one in wandb.begun]
            copied = [[step, sorted(set(row) - set(CLOCKS))] for step, row in wandb.rows]
            told = [without_clocks(said.getvalue()), begun, copied, batches]
            return [result.steps, result.tokens, result.ended, str(result.best), *told, _left_in(result.folder)]
        finally:
            shutil.rmtree("runs", ignore_errors=True)


def _left_in(run: Path) -> Any:
    """What a run leaves in its folder, but for what repeats its config or is of the machine."""
    found: dict[str, Any] = {"": sorted(path.name for path in Path("runs").iterdir())}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.suffix == ".safetensors":
            found[name] = load_tensors(path)
        elif path.name in ("samples.jsonl",) or path.parent.name == "evaluation":
            found[name] = path.read_text(encoding="utf-8")
        else:
            found["tensorboard" if "tensorboard" in name else name] = None
    found["metrics.csv"] = rows_without_clocks(run)
    for step, path in steps_of(run / "checkpoints"):
        standing = read_standing(path)
        found[f"standing {step}"] = [standing.best, standing.ended]
    return found


def without_clocks(text: str) -> list[str]:
    """The lines that a run says, without what is of the machine, and of what its cache has already."""
    lines = re.sub(r" · (\S+ tokens/s|MFU \d+ %|[\d.]+ s left|time left unknown)", "", text).splitlines()
    return [line for line in lines if not line.startswith(("training the tokenizer: ", "building the token store: "))]


RUN = Look("run", _run)


# ------------------------------------------------------------------------------------------------------------ comparing


def same(one: Any, other: Any) -> bool:
    """Whether two things seen are equal, floats but for rounding."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, Tensor):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        if not one.is_floating_point():
            return torch.equal(one, other)
        return not one.numel() or bool((one - other).abs().max() <= SAME * one.abs().max())
    if isinstance(one, float):
        return abs(one - other) <= SAME * max(abs(one), abs(other))
    return bool(one == other)
