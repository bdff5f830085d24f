"""A pretraining run from its config to its result.

Lightning, which takes seconds to import, is imported where the first thing needs it: behind the checks of the config,
the folder and the text, so that what is wrong with those is said at once.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zoo.checkpoint.disk import replace_file
from zoo.checkpoint.folder import newest_verified
from zoo.checkpoint.model import TRAINING_FORMAT
from zoo.checkpoint.standing import read_standing
from zoo.checkpoint.tensors import load_tree
from zoo.data.blend import Blend
from zoo.data.corpus import Corpus, load_corpus
from zoo.data.filter import dropped_words
from zoo.data.plan import Plan
from zoo.data.split import counted, held_out_words
from zoo.errors import CheckpointError, ConfigError, DataError, TrainingError, ZooError
from zoo.models import Model, ModelConfig
from zoo.nn.recompute import RecomputeConfig
from zoo.objectives.base import Setup
from zoo.objectives.mixture import InterleavedRows, MixedRows, Mixture
from zoo.report.text import text_facts, to_json
from zoo.report.write import write_report_or_warn
from zoo.training.accumulation import as_begun, num_microbatches, resolve
from zoo.training.compilation import check_compiler, compiled
from zoo.training.config import RunConfig
from zoo.training.disk_room import check_room
from zoo.training.ema import WeightAverage
from zoo.training.init_from import begin, check_start, own_tokenizer
from zoo.training.interrupt import Interrupted
from zoo.training.kernels import check_kernels
from zoo.training.launch import check_launch, device_type
from zoo.training.origin import refuse_unfinished_branch
from zoo.training.precision import convert
from zoo.training.run_folder import RunFolder
from zoo.training.samples import make_samples
from zoo.training.schedule import Course
from zoo.training.shares import source_lines
from zoo.training.split_rows import split_rows
from zoo.training.tensorboard_log import check_tensorboard
from zoo.training.warned import warned_once

if TYPE_CHECKING:
    import pytorch_lightning as lightning

    from zoo.training.conductor import Conductor
    from zoo.training.datamodule import DataModule
    from zoo.training.module import TrainingModule

EVALUATION_SEED = 0
"""Of the noise on held-out text: fixed, so that validation losses of different seeds compare."""


class Result(NamedTuple):
    """What a finished run leaves.

    Attributes:
        folder: the run folder. steps: optimizer steps done. parameters: of the model. tokens: trained on, with repeats.
        seconds: of training, validation and saving left out. first_loss: training loss of the first step.
        metrics: the last value of everything that was logged.
        ended: why it ended before its last step, or "". best: the best checkpoint, where `best.keep` keeps one.
        already_finished: whether an earlier call had finished the run.
    """

    folder: Path
    steps: int
    parameters: int
    tokens: int
    seconds: float
    first_loss: float
    metrics: dict[str, float]
    ended: str = ""
    best: Path | None = None
    already_finished: bool = False


class Prepared(NamedTuple):
    """A run's parts before the trainer takes them.

    Attributes:
        config: with everything resolved that depends on the corpus. corpus: tokenizer and documents.
        training, validation: rows; validation is None where nothing is held out.
        module: model and objectives. shorter: training rows of each length that comes before the full one.
    """

    config: RunConfig
    corpus: Corpus
    training: MixedRows
    validation: MixedRows | None
    module: TrainingModule
    shorter: tuple[MixedRows, ...] = ()

    @property
    def fingerprints(self) -> dict[str, str]:
        """What the run trains on, for a continued run to compare."""
        return {"text": self.corpus.training.fingerprint, "tokenizer": self.corpus.tokenizer.fingerprint}


def prepare(config: RunConfig, progress: bool = True, corpus: Corpus | None = None) -> Prepared:
    """Text, rows and model of a run, with every check that can be made before the first step.

    Args:
        config: the run.
        progress: whether to show bars while the tokenizer and the store are made.
        corpus: the text as tokens; None: what the config says.

    Raises:
        ConfigError, DataError: something does not fit; nothing was trained yet.
    """
    sentences = any(objective.needs_sentences for objective in config.objectives.values())
    corpus = corpus or load_corpus(config.data, config.tokenizer, sentences, progress)
    from zoo.training.module import TrainingModule

    config = dataclasses.replace(config, model=_with_vocabulary(config, corpus))
    mixture = Mixture(config.objectives, Setup(corpus.tokenizer, config.model.max_length, config.seed))
    held_out = Mixture(config.objectives, Setup(corpus.tokenizer, config.model.max_length, EVALUATION_SEED))
    _check_decoder_length(config.model, mixture)
    model = config.model.build(config.seed)
    convert(model, config.trainer.precision)
    _recompute(model, config.trainer.recompute)
    course, clip = Course(config.schedule, config.trainer.budget), config.trainer.gradient_clip
    module = TrainingModule(model, mixture.objectives, config.optimizer, course, clip, config.seed)
    if config.trainer.compile:
        module.run_backbone = compiled(model.backbone)
    _check_groups(config, module.model)
    validation = split_rows(held_out, corpus, config, "held-out") if corpus.validation.num_documents else None
    training = split_rows(mixture, corpus, config, "training")
    return Prepared(config, corpus, training, validation, module, tuple(_shorter_rows(config, corpus)))


def _shorter_rows(config: RunConfig, corpus: Corpus) -> Iterator[MixedRows]:
    """The rows of each length below the full one; raises ConfigError where an objective has none of that length."""
    for length in config.lengths.values[:-1]:
        try:
            mixture = Mixture(config.objectives, Setup(corpus.tokenizer, length, config.seed))
            yield mixture.over(corpus.training)
        except (ConfigError, DataError) as error:
            raise ConfigError(f"rows of {length} tokens cannot be made: {error}", "trainer.length_warmup") from None


def _check_groups(config: RunConfig, model: Model) -> None:
    """Refuses patterns of `optimizer.parts` that match nothing, or the same parameter."""
    try:
        config.optimizer.groups(model, model.config.initialization)
    except ConfigError as error:
        raise error.under("optimizer") from None


def _recompute(model: Model, config: RecomputeConfig) -> None:
    try:
        config.apply(model)
    except ConfigError as error:
        raise error.under("trainer.recompute") from None


def _check_decoder_length(model: ModelConfig, mixture: Mixture) -> None:
    """Refuses rows that are longer than what a decoder was told to take."""
    length = model.sides()[-1].stack.max_length
    for name, objective in mixture.objectives.items():
        if length != model.max_length and objective.decoder_width > length:
            raise ConfigError(
                f"{length} is too short for objectives.{name}, whose rows have {objective.decoder_width} places there; "
                "lower its target_length or raise this",
                "model.decoder.max_length",
            )


def _with_vocabulary(config: RunConfig, corpus: Corpus) -> ModelConfig:
    """The model's config with a vocabulary that holds the tokenizer's."""
    size, model = corpus.tokenizer.vocab_size, config.model
    if model.vocab_size is not None and model.vocab_size < size:
        raise ConfigError(
            f"{model.vocab_size} is less than the {size} entries of the tokenizer; use null to follow it",
            "model.vocab_size",
        )
    padding, own = model.embedding.padding_token, corpus.tokenizer.roles.get("padding")
    if None not in (padding, own) and padding != own:
        raise ConfigError(
            f"{padding} is not the tokenizer's padding token, which is {own}",
            "model.embedding.padding_token",
        )
    return dataclasses.replace(model, vocab_size=model.vocab_size or size)


def pretrain(
    config: RunConfig, folder: Path | None = None, *, fresh: bool = False, corpus: Corpus | None = None
) -> Result:
    """Trains a run to its end, or goes on with it from its newest verified checkpoint.

    Args:
        config: the run.
        folder: where it lives; None: runs/<name>.
        corpus: the text as tokens, where it is at hand already; None: it is made as the config says.
        fresh: move what an older run left there aside and start anew.

    Raises:
        ConfigError, DataError: something does not fit; a folder that was made for it is removed. CheckpointError: the
            folder is in use or damaged.
        TrainingError: the gradient is not finite. Interrupted: stopped by a signal, after saving. Both happen on all
            ranks together; the first reports them, the others end as if all were well.
    """
    check_launch(config.trainer, fresh)
    check_tensorboard(config.logging.tensorboard)
    check_kernels(config.model, config.trainer.precision, (device_type(config.trainer.accelerator),))
    if config.trainer.compile:
        check_compiler(device_type(config.trainer.accelerator))
    path = folder or Path("runs") / config.name
    config = config if fresh else as_begun(config, path)
    run = RunFolder(path, config, fresh)
    if run.moved is not None:
        print(f"moved the older run to {run.moved}", file=sys.stderr)
    try:
        if run.result.exists():
            return read_result(run.path)
        return _train(config, run, corpus)
    except (Interrupted, TrainingError):
        if run.is_owner:
            write_report_or_warn(run.path)
            raise
        raise SystemExit(0) from None  # a launcher kills the first rank where another ends with an error
    except ZooError:
        run.discard()
        raise
    finally:
        run.close()


def _train(config: RunConfig, run: RunFolder, corpus: Corpus | None) -> Result:
    newest, complaints = newest_verified(run.checkpoints, format=TRAINING_FORMAT)
    if newest is None and complaints:
        raise CheckpointError(f"{'; '.join(complaints)}; put a whole one back, or start anew with --fresh")
    if newest is None:
        refuse_unfinished_branch(run.path)
        check_start(config)
    for complaint in complaints:
        warnings.warn(complaint, stacklevel=2)
    prepared = prepare(config if newest is None else own_tokenizer(config, run.path), corpus=corpus)
    from zoo.training.checkpoint_io import FolderCheckpointIO
    from zoo.training.conductor import Conductor, checkpoint_step
    from zoo.training.trainer import make_trainer

    prepared = _with_microbatches(config, prepared, run)
    _say_what_is_read(prepared, run)
    config, module, tokenizer = prepared.config, prepared.module, prepared.corpus.tokenizer
    average = None if config.trainer.ema is None else WeightAverage(config.trainer.ema, module.model)
    samples = make_samples(config.samples, module.model, prepared.corpus)
    conductor = Conductor(config, run, prepared.validation, samples, prepared.fingerprints, average)
    if newest is None:
        begin(config, module.model, tokenizer, run.path, run.is_owner)
    if newest is None or not _is_finished(conductor, newest):
        if run.is_owner:
            check_room(config, module.model, run)
            if newest is not None:
                print(f"{run.path} continues from step {checkpoint_step(newest)}", file=sys.stderr)
            tokenizer.save(run.path / "tokenizer")
            replace_file(run.path / "data.json", to_json(text_facts(prepared.corpus)), durable=True)
        io = FolderCheckpointIO(module.model, tokenizer, average, conductor.standing_at)
        _fit(make_trainer(config, conductor, io), module, _data_module(prepared), newest)
    result = Result(
        folder=run.path,
        steps=conductor.spent.steps,
        parameters=module.model.num_parameters,
        tokens=conductor.spent.tokens,
        seconds=conductor.spent.seconds,
        first_loss=conductor.first_loss or 0.0,
        metrics=conductor.last,
        ended=conductor.standing.ended,
        best=conductor.best_checkpoint(conductor.spent.steps),
    )
    if run.is_owner:
        replace_file(run.result, json.dumps(result._asdict(), default=str, indent=2), durable=True)  # str: paths
        write_report_or_warn(run.path)
    return result


def _is_finished(conductor: Conductor, newest: Path) -> bool:
    """Whether a run ends at a checkpoint, by its budget or early; then the conductor has the state that is in there."""
    from zoo.training.conductor import checkpoint_step, state_in

    steps, ended = conductor.budget.steps_at_most(), read_standing(newest).ended
    if steps is not None and checkpoint_step(newest) < steps and not ended:
        return False
    conductor.load_state_dict(state_in(load_tree(newest, "trainer")))
    conductor.spent.steps = checkpoint_step(newest)
    return bool(ended) or conductor.budget.is_spent(conductor.spent)


def _with_microbatches(config: RunConfig, prepared: Prepared, run: RunFolder) -> Prepared:
    """The run with a number of microbatches where its config says auto; the number goes into the run's folder."""
    trainer = resolve(prepared.config, device_type(config.trainer.accelerator)).trainer
    if trainer != config.trainer and run.is_owner:
        run.write_config(dataclasses.replace(config, trainer=trainer))
        rows = trainer.batch_size // (trainer.devices * trainer.num_nodes)
        print(f"trainer.accumulate: auto is {trainer.accumulate} ({rows} rows a device and step)", file=sys.stderr)
    return prepared._replace(config=dataclasses.replace(prepared.config, trainer=trainer))


def _say_what_is_read(prepared: Prepared, run: RunFolder) -> None:
    """On stderr: how much text there is, what of it is left out; and whether the model sees the future in training."""
    if not run.is_owner:
        return
    lines = [f"note: {why}" for why in prepared.config.model.leaks().values()]
    if prepared.config.trainer.max_hours is not None:
        lines.append("note: trainer.max_hours ends the run by the clock: another run has other weights")
    corpus, rows = prepared.corpus, sum(group.num_rows for group in prepared.training.groups)
    left_out = sum(getattr(group.row_maker, "left_out", 0) for group in prepared.training.groups)
    words = [f"{counted(corpus.training.num_documents, 'document')} in {counted(rows, 'row')} an epoch"]
    if not isinstance(corpus.training, Blend):
        assert not isinstance(corpus.validation, Blend)
        words.append(held_out_words(corpus.training, corpus.validation))
    if left_out:
        words.append(
            f"{counted(left_out, 'document or piece', 'documents or pieces')} too short for a row and left out"
        )
    lines.append(", ".join(words))
    if isinstance(corpus.training, Blend):
        assert isinstance(corpus.validation, Blend)
        assert isinstance(prepared.training, InterleavedRows)
        num_rows = prepared.config.trainer.rows_of_run(prepared.training.tokens_per_row)
        lines += source_lines(corpus.training, corpus.validation, prepared.training, num_rows)
    for name, store in corpus.stores.items():
        if store.num_read > store.num_documents:
            where = f" of source {name}" * bool(name)
            dropped = f"{store.num_read - store.num_documents:,} of {counted(store.num_read, 'document')}{where}"
            lines.append(f"dropped {dropped}: {dropped_words(store.dropped)}")
    # In one write: a signal between the end of a line and its line break would put its own words behind these.
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()


def _fit(trainer: lightning.Trainer, module: TrainingModule, data: DataModule, newest: Path | None) -> None:
    """Trains to the end, or to the error."""
    try:
        with module.stop, warned_once():
            trainer.fit(module, data, ckpt_path=newest)
    except (Interrupted, TrainingError):
        raise
    except BaseException:
        # The other ranks know nothing of it and would wait for this one.
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signal.SIGKILL)
        raise


def read_result(folder: Path) -> Result:
    """What a finished run left in its folder; raises CheckpointError where it is not finished."""
    path = folder / "result.json"
    if not path.exists():
        raise CheckpointError(f"{folder} has no result.json: the run is not finished; continue it with zoo pretrain")
    values = json.loads(path.read_text(encoding="utf-8"))
    best = values.get("best") and folder / "checkpoints" / Path(values["best"]).name  # it may have been moved since
    return Result(**{**values, "folder": folder, "best": best, "already_finished": True})


def _data_module(prepared: Prepared) -> DataModule:
    from zoo.training.datamodule import DataModule

    config = prepared.config
    legs = zip((*prepared.shorter, prepared.training), config.lengths.begins, strict=True)
    plans = [
        (rows, Plan(rows.num_rows, config.trainer.rows, config.seed, first, rows.shuffled)) for rows, first in legs
    ]
    return DataModule(
        *plans.pop(),
        num_microbatches(config),
        config.trainer.budget.steps_at_most(),
        config.trainer.num_workers,
        plans,
    )
