"""The config of a run: everything that decides what comes out."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_type_hints

from zoo.config import Config, Mapped, setting
from zoo.data.corpus import DataConfig
from zoo.data.plan import check_shares
from zoo.data.stages import Stages
from zoo.errors import ConfigError
from zoo.models import ModelConfig
from zoo.nn.recompute import NoRecomputeConfig, RecomputeConfig
from zoo.objectives.base import ObjectiveConfig
from zoo.objectives.mixture import check_family, check_objectives
from zoo.registry import Choice, unknown_name
from zoo.tokenizer.train import FileConfig, TokenizerConfig
from zoo.training.best import BestConfig
from zoo.training.budget import UNITS, Budget, the_budget
from zoo.training.compilation import check_compile
from zoo.training.ema import EMAConfig
from zoo.training.kernels import DEVICES, check_kernels
from zoo.training.optimizers import AdamWConfig, OptimizerConfig
from zoo.training.precision import PrecisionName, check_precision
from zoo.training.samples import SamplesConfig
from zoo.training.schedule import ConstantConfig, ScheduleConfig
from zoo.training.warmup import WarmupConfig, sizes


@dataclass(frozen=True, kw_only=True)
class TrainerConfig(Config):
    """How long, how much at once, on what, and how often something is written."""

    max_steps: int | None = setting(1000, "optimizer steps of the run; null: another max_… says how long", minimum=1)
    max_tokens: float | None = setting(None, "tokens that the run reads, with repeats, padding not counted", above=0)
    max_flops: float | None = setting(None, "floating-point operations of the run, forward and backward", above=0)
    max_hours: float | None = setting(None, "hours of training, validation and saving not counted", above=0)
    batch_size: int = setting(32, "rows of one optimizer step, over all ranks and microbatches", minimum=1)
    batch_warmup: WarmupConfig | None = setting(None, "steps of fewer rows that come first; null: none")
    length_warmup: WarmupConfig | None = setting(None, "shorter rows that come first, in tokens; null: none")
    accumulate: int | Literal["auto"] = setting(
        1,
        "microbatches that each rank splits its share of a step into; auto: as few as the memory of the device allows",
        minimum=1,
    )
    memory_limit: float | None = setting(
        None, "GiB that a step may take on each device, for accumulate=auto; null: 90 % of the device's", above=0
    )
    gradient_clip: float | None = setting(1.0, "largest global norm of the gradient; null: not clipped", above=0)
    precision: PrecisionName = setting(
        "32-true",
        "number format: 32-true; bf16-mixed, 16-mixed: products in half precision, weights in float32; bf16-true: "
        "weights and optimizer in bfloat16 too; 64-true",
    )
    recompute: RecomputeConfig = setting(
        NoRecomputeConfig(), "which activations are made again in the backward, to save memory; it changes no number"
    )
    compile: bool = setting(False, "whether training steps go through torch.compile: slow to start, then faster")
    ema: EMAConfig | None = setting(None, "a moving average of the weights, kept beside them; null: none")
    validate_every: int | None = setting(None, "steps between validations; null: at the end only", minimum=1)
    validation_batch_size: int | None = setting(
        None, "rows of a validation batch; null: as many as in a microbatch", minimum=1
    )
    save_every: int | None = setting(500, "steps between checkpoints; null: at the end only", minimum=1)
    keep: int = setting(2, "how many of the newest checkpoints are kept", minimum=1)
    log_every: int = setting(10, "steps between rows of the log", minimum=1)
    num_workers: int = setting(0, "processes that make batches beside the training process", minimum=0)
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = setting("auto", "what to compute on")
    devices: int = setting(1, "how many devices, one rank each", minimum=1)
    num_nodes: int = setting(1, "how many machines, each with that many devices", minimum=1)

    def validate(self) -> None:
        """Exactly one setting says how long the run is; a warm-up of the batch leads to batch_size, in whole shares."""
        the_budget({unit: getattr(self, f"max_{unit}") for unit in UNITS})
        if self.batch_warmup is not None:
            try:
                self.batch_warmup.check(self.batch_size, "batch_size", self.budget)
            except ConfigError as error:
                raise error.under("batch_warmup") from None
            for size in self.rows.values:
                check_shares(size, 1, self.devices * self.num_nodes, "batch_warmup")

    @property
    def budget(self) -> Budget:
        """How long the run is."""
        return the_budget({unit: getattr(self, f"max_{unit}") for unit in UNITS})

    @property
    def microbatch_rows(self) -> int:
        """Rows that a device works on at once in a full step; all of its share where accumulate is not known yet."""
        number = 1 if self.accumulate == "auto" else self.accumulate
        return self.batch_size // (number * self.devices * self.num_nodes)

    @property
    def rows(self) -> Stages:
        """The rows of each step."""
        return sizes(self.batch_warmup, self.batch_size)

    def rows_of_run(self, tokens_per_row: float) -> float | None:
        """About how many rows the run trains on; None where its budget is not one of steps or tokens."""
        if self.budget.unit == "steps":
            return self.rows.sum_before(int(self.budget.limit))
        return self.budget.limit / tokens_per_row if self.budget.unit == "tokens" else None


@dataclass(frozen=True, kw_only=True)
class LoggingConfig(Config):
    """What is logged beside metrics.csv, and what more goes into that."""

    tensorboard: bool = setting(False, "whether the run folder gets a copy of the log for TensorBoard")
    norms: bool = setting(
        False, "whether rows have the norms of gradient and update of each part of the model, layer by layer"
    )


@dataclass(frozen=True, kw_only=True)
class WandbConfig(Config):
    """Weights & Biases: a copy of the log, offline where there is no key; it can neither block nor end a run."""

    enabled: bool = setting(False, "whether to log there at all")
    project: str = setting("zoo", "project that the run is filed under")
    entity: str | None = setting(None, "account or team; null: the key's own")


@dataclass(frozen=True, kw_only=True)
class RunConfig(Config):
    """A pretraining run."""

    name: str = setting("run", "name of the run; its folder is runs/<name>")
    seed: int = setting(0, "of the initial weights, the order of the rows, the noise and dropout", minimum=0)
    model: ModelConfig = setting(doc="the model: a `preset` or a `kind`, and what differs from it")
    init_from: str | None = setting(
        None, "folder with the weights to start from, ours or a Hugging Face folder; null: they are drawn"
    )
    tokenizer: TokenizerConfig = setting(doc="how text becomes tokens")
    data: DataConfig = setting(doc="which text")
    objectives: dict[str, ObjectiveConfig] = setting(doc="what the model is trained to do, by name")
    optimizer: OptimizerConfig = setting(AdamWConfig(), "how gradients become updates")
    schedule: ScheduleConfig = setting(ConstantConfig(), "how the learning rate moves")
    trainer: TrainerConfig = setting(TrainerConfig(), "steps, batches, devices, intervals")
    best: BestConfig = setting(BestConfig(), "which checkpoint is the best, and when the run ends early")
    samples: SamplesConfig = setting(SamplesConfig(), "what the model writes at each validation")
    logging: LoggingConfig = setting(LoggingConfig(), "what is logged, and where")
    wandb: WandbConfig = setting(WandbConfig(), "Weights & Biases")

    def validate(self) -> None:
        """Refuses objectives that do not go together or do not fit the model, heads that nothing trains, bad phases.

        Kernels that cannot be trained with in this precision, on no device that it may be, are refused too.
        """
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+=-]{0,199}", self.name):
            raise ConfigError(
                f"{self.name!r} cannot name a folder; use letters, digits and . _ + = -, not more than 200", "name"
            )
        for check in (
            lambda: check_objectives(self.objectives),
            lambda: check_family(
                self.objectives, self.model.kind, {name: head.kind for name, head in self.model.heads.items()}
            ),
        ):
            try:
                check()
            except ConfigError as error:
                raise error.under("objectives") from None
        self._check_needs()
        trained = {objective.head for objective in self.objectives.values()}
        for head in self.model.heads:
            if head not in trained:
                raise ConfigError(
                    f"no objective trains this head; take it out with model.heads.{head}=null, or add an objective",
                    f"model.heads.{head}",
                )
        if self.init_from is not None and not isinstance(self.tokenizer, FileConfig):
            raise ConfigError(
                f"{self.tokenizer.kind} would be another tokenizer than that of the weights in init_from; say "
                f"tokenizer={{kind: file, path: {tokenizer_folder(self.init_from)}}}",
                "tokenizer.kind",
            )
        self._check_effects()
        self._check_validation()
        self._check_mixing()
        check_kernels(self.model, self.trainer.precision, DEVICES[self.trainer.accelerator])
        check_precision(self.trainer.precision, DEVICES[self.trainer.accelerator])
        self._check_compile_and_average()
        try:
            self.schedule.check(self.trainer.budget)
        except ConfigError as error:
            raise error.under("schedule") from None
        try:
            self.optimizer.check(self.model, self.schedule)
        except ConfigError as error:
            raise error.under("optimizer") from None
        microbatches = 1 if self.trainer.accumulate == "auto" else self.trainer.accumulate
        shares = microbatches * self.trainer.devices * self.trainer.num_nodes
        if self.trainer.batch_size % shares:
            raise ConfigError(
                f"{self.trainer.batch_size} rows cannot be shared out to {shares} microbatches (accumulate × devices × "
                f"num_nodes); choose a multiple of {shares}",
                "trainer.batch_size",
            )
        if self.trainer.length_warmup is not None:
            try:
                self.trainer.length_warmup.check(self.model.max_length, "model.max_length", self.trainer.budget)
            except ConfigError as error:
                raise error.under("trainer.length_warmup") from None

    def _check_needs(self) -> None:
        """Refuses a model that lacks what an objective needs of it."""
        for objective in self.objectives.values():
            objective.check_length(self.model.max_length)
            given = self.model.embedding.num_segments
            if given < objective.least_segments:
                raise ConfigError(
                    f"{given} is too few for {objective.kind}, whose rows have segments; set "
                    f"{objective.least_segments}, or leave that objective and its head out",
                    "model.embedding.num_segments",
                )

    def _check_compile_and_average(self) -> None:
        if self.trainer.compile:
            warmups = {key: getattr(self.trainer, key) for key in ("batch_warmup", "length_warmup")}
            check_compile(self.trainer.recompute.kind, warmups)
        if self.trainer.ema is not None:
            try:
                self.trainer.ema.check(self.trainer.max_steps, self.optimizer)
            except ConfigError as error:
                raise error.under("trainer.ema") from None

    @property
    def lengths(self) -> Stages:
        """The length of the rows of each step."""
        return sizes(self.trainer.length_warmup, self.model.max_length)

    def _check_mixing(self) -> None:
        """Refuses to share a step out to several forwards where a part of the model depends on what is in one."""
        for key, reason in self.model.parts_that_mix_rows().items():
            for shares in ("accumulate", "devices", "num_nodes"):
                value = getattr(self.trainer, shares)
                if value == "auto" or value > 1:
                    raise ConfigError(
                        f"{value} does not go with model.{key}: {reason}, so the result would depend on how a step is "
                        "shared out; use 1, or another part there",
                        f"trainer.{shares}",
                    )

    def _check_validation(self) -> None:
        """Refuses what needs validations where there are none, or one at the end only."""
        try:
            sources = [name for name in self.data.source.by_name() if name]
            self.best.check(self.objectives, sources, self.trainer.ema is not None)
        except ConfigError as error:
            raise error.under("best") from None
        held_out, best = self.data.validation_fraction > 0, self.best
        try:
            self.samples.check(self.model, held_out)
        except ConfigError as error:
            raise error.under("samples") from None
        chosen = {"best.keep": best.keep, "best.patience": best.patience}
        for key, value in chosen.items():
            if value and not held_out:
                raise ConfigError(
                    f"{value!r} has no effect: data.validation_fraction is 0, so nothing is ever validated", key
                )
        if best.patience is not None and self.trainer.validate_every is None:
            raise ConfigError(
                f"{best.patience} has no effect: trainer.validate_every is null, so the run is validated at its end "
                "only; set that, or this to null",
                "best.patience",
            )

    def _check_effects(self) -> None:
        """Refuses settings that something else makes idle."""
        if self.data.validation_fraction == 0:
            for key in ("validate_every", "validation_batch_size"):
                value = getattr(self.trainer, key)
                if value is not None:
                    raise ConfigError(
                        f"{value} has no effect: data.validation_fraction is 0; set this to null, or that above 0",
                        f"trainer.{key}",
                    )
        if self.trainer.memory_limit is not None and self.trainer.accumulate != "auto":
            raise ConfigError(
                f"{self.trainer.memory_limit:g} has no effect: trainer.accumulate is {self.trainer.accumulate}; set "
                "this to null, or that to auto",
                "trainer.memory_limit",
            )
        if not self.wandb.enabled and self.wandb != WandbConfig():
            raise ConfigError("project and entity have no effect; set wandb.enabled=true", "wandb")


def check_spelling(settings: Mapped) -> None:
    """Raises ConfigError, which names the nearest key, for a key that no run has; not within groups with a `kind`."""
    _check_spelling(RunConfig, settings)


def _check_spelling(schema: type[Config], settings: Mapped) -> None:
    kinds = get_type_hints(schema)
    for name, value in settings.items():
        if name not in kinds:
            raise ConfigError(unknown_name("key", name, [field.name for field in fields(schema)]), name)
        kind = kinds[name]
        is_group = isinstance(kind, type) and issubclass(kind, Config) and not issubclass(kind, Choice)
        if is_group and isinstance(value, dict):
            try:
                _check_spelling(kind, value)
            except ConfigError as error:
                raise error.under(name) from None


def tokenizer_folder(init_from: str) -> Path:
    """Where the tokenizer is that belongs to the weights a run starts from: a run has it in a folder of its own."""
    folder = Path(init_from).expanduser()
    return folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder


HARMLESS = (
    "trainer.num_workers",
    "trainer.keep",
    "trainer.save_every",
    "trainer.log_every",
    "trainer.accelerator",
    "trainer.recompute",
    "best.keep",
    "samples.count",
    "samples.prompts",
    "samples.max_new_tokens",
    "samples.show",
    "logging.tensorboard",
    "logging.norms",
    "wandb.enabled",
    "wandb.project",
    "wandb.entity",
    "data.cache",
    "data.num_workers",
)
"""Keys, of groups too, that may differ between a run and its continuation: they do not change what is trained."""

OF_VALIDATIONS = ("trainer.validate_every", "trainer.validation_batch_size")
"""Keys that may differ too, unless `best.patience` lets validations decide where the run ends."""
