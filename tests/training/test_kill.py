"""The kill test: SIGKILL at random moments, the same command again, and the unbroken run's weights bit for bit.

Dropout and accumulation are on, and 0 and 2 data workers take turns. Most processes are forked off a server that has
imported everything (see `processes.py`), which makes an attempt take a second instead of ten; one kill of each family
goes to the real command. A forked process dies by its own SIGKILL: a `Doom` counts what happens in it and, at the drawn
moment, kills at once or from a thread some milliseconds later, wherever the main thread is by then.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.training.processes import Command, Forked, Process, wait_until_it_trains
from tests.training.tensorboard import scalars
from tests.training.tiny import (
    CLOCKS,
    DROPOUT,
    ENCODERS,
    counters,
    logs_without_clocks,
    moments,
    newest,
    same,
    weights,
    write_config,
)
from zoo.checkpoint.folder import steps_of

MAX_STEPS = 160
SETTINGS = (
    *DROPOUT,
    f"trainer.max_steps={MAX_STEPS}",
    "trainer.accumulate=2",
    "trainer.save_every=4",
    "trainer.validate_every=6",
    "trainer.log_every=3",
    "trainer.keep=1",
    "best.keep=1",
    "samples.count=1",
    "logging.tensorboard=true",
    "logging.norms=true",
)

MOMENTS = {
    "start": ("zoo.training.run", "RunFolder._claim", 1),
    "corpus": ("zoo.training.run", "load_corpus", 1),
    "restore": ("zoo.training.checkpoint_io", "FolderCheckpointIO.load_checkpoint", 1),
    "backward": ("zoo.training.module", "TrainingModule.manual_backward", 30),
    "update": ("zoo.training.module", "TrainingModule._update", 15),
    "validation": ("zoo.training.module", "TrainingModule.evaluate_part", 6),
    "log": ("zoo.training.metrics_file", "MetricsFile.write", 5),
    "samples": ("zoo.training.samples", "SamplesFile.write", 2),
    "save": ("zoo.checkpoint.folder", "fault", 40),
}
"""What is counted, and the largest count that is drawn: no attempt gets much further than a tenth of the run."""


class Doom(NamedTuple):
    """When a process kills itself.

    Attributes:
        moment: of MOMENTS. count: how often it must come. delay: seconds from there; 0: at once.
    """

    moment: str
    count: int
    delay: float

    def __call__(self) -> None:
        """In the child: puts a counting function in the place of the one that the moment names."""
        module, path, _ = MOMENTS[self.moment]
        *owners, name = path.split(".")
        owner: Any = import_module(module)
        for part in owners:
            owner = getattr(owner, part)
        original, calls = getattr(owner, name), iter(range(1, 1_000_000))

        def counted(*arguments: Any, **options: Any) -> Any:
            if next(calls) == self.count:
                if not self.delay:
                    os.kill(os.getpid(), signal.SIGKILL)
                threading.Timer(self.delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
            return original(*arguments, **options)

        setattr(owner, name, counted)

    def meet(self, arguments: tuple[object, ...], folder: Path, begun: bool) -> tuple[Process, str]:
        """Starts the command in a forked process, which will die of this."""
        return Forked(arguments, folder, self), str(self)


Fate = Callable[[tuple[object, ...], Path, bool], tuple[Process, str]]


def meet_a_random_doom(
    draw: random.Random, arguments: tuple[object, ...], folder: Path, begun: bool
) -> tuple[Process, str]:
    """Any moment; there is nothing to restore before the first checkpoint."""
    moment = draw.choice([name for name in MOMENTS if begun or name != "restore"])
    delay = draw.choice([0.0, draw.uniform(0, 0.03)])
    return Doom(moment, draw.randint(1, MOMENTS[moment][2]), delay).meet(arguments, folder, begun)


def kill_the_command(
    draw: random.Random, arguments: tuple[object, ...], folder: Path, begun: bool
) -> tuple[Process, str]:
    """SIGKILL from outside, to `python -m zoo`, a moment after its first steps."""
    process = Command(arguments, folder)
    wait_until_it_trains(process)
    time.sleep(draw.uniform(0, 0.1))
    process.kill()
    return process, "command"


def check_survival(
    folder: Path, kind: str, fates: Iterable[Fate], checkpoints: int, settings: Iterable[str] = ()
) -> None:
    """Kills a run as the fates say, then lets it finish; the end must be the unbroken run's.

    Args:
        folder: where it all happens.
        kind: of run.
        fates: of one process after another; each is called with the command and whether there is a checkpoint yet.
        checkpoints: from how many different ones the run must have gone on, for the test to mean something.
        settings: of the run, over SETTINGS.
    """
    short = () if kind in ENCODERS else ("samples.max_new_tokens=4",)
    arguments = ("pretrain", write_config(folder, kind), *SETTINGS, *short, *settings, "--folder")
    unbroken = Forked((*arguments, "unbroken"), folder)
    assert unbroken.wait() == 0, unbroken.output.read_text()
    run = folder / "run"
    story: list[tuple[str, int]] = []
    for attempt, fate in enumerate(fates):
        words = (*arguments, "run", f"trainer.num_workers={2 * (attempt % 2)}")
        begun = steps_of(run / "checkpoints")
        process, name = fate(words, folder, bool(begun))
        story.append((name, begun[0][0] if begun else 0))
        assert process.wait() == -signal.SIGKILL, (story, process.output.read_text())
    process = Forked((*arguments, "run"), folder)
    assert process.wait() == 0, (story, process.output.read_text())
    assert same(weights(run), weights(folder / "unbroken")), story
    assert same(moments(run), moments(folder / "unbroken")), story
    assert counters(run) == counters(folder / "unbroken"), story
    assert logs_without_clocks(run) == logs_without_clocks(folder / "unbroken"), story
    assert scalars(run) == scalars(folder / "unbroken"), story
    left = sorted(path.name for path in (run / "checkpoints").iterdir())
    kept = sorted(path.name for path in (folder / "unbroken" / "checkpoints").iterdir())
    assert left == kept, "temporary folders of killed processes stay behind, or others were kept"
    assert newest(folder / "unbroken").name in left
    assert len({step for _, step in story if step}) >= checkpoints, story


def test_two_kills(tmp_path: Path) -> None:
    """The first a row of the log past a checkpoint, the second in the middle of a save."""
    dooms = [Doom("log", 3, 0.0), Doom("save", 8, 0.0)]
    check_survival(tmp_path, "bert", [doom.meet for doom in dooms], checkpoints=1)


GROWING = (
    "trainer.max_steps=null",
    "trainer.max_tokens=28000",
    "schedule={kind: cosine, warmup_steps: 0, warmup_tokens: 2000}",
    "trainer.batch_warmup={start: 2, increment: 2, steps: 60}",
    "trainer.length_warmup={start: 20, increment: 10, steps: 50}",
)
"""A budget in tokens, steps that become larger and rows that become longer while the kills fall."""


@pytest.mark.slow
def test_ten_kills_while_batch_and_length_grow_towards_a_number_of_tokens(tmp_path: Path) -> None:
    draw = random.Random("ten kills of a growing run")
    fates = [partial(meet_a_random_doom, draw)] * 10
    check_survival(tmp_path, "bert", fates, checkpoints=1, settings=GROWING)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "gpt", "t5"])
def test_ten_kills(kind: str, tmp_path: Path) -> None:
    draw = random.Random(f"ten kills of {kind}")
    fates = [partial(kill_the_command, draw), *[partial(meet_a_random_doom, draw)] * 9]
    # Where the kills fall depends on the speed of the machine: ask for no more than that some fell behind a checkpoint.
    check_survival(tmp_path, kind, fates, checkpoints=1)


def test_kill_between_the_last_checkpoint_and_the_result(tmp_path: Path) -> None:
    """Nothing is left to train: the same command writes the result, from what the checkpoint remembers."""
    arguments = ("pretrain", write_config(tmp_path, "gpt"), "trainer.max_steps=3", "--folder")
    assert Forked((*arguments, "unbroken"), tmp_path).wait() == 0
    assert Forked((*arguments, "run"), tmp_path, die_before_the_result).wait() == -signal.SIGKILL
    assert not (tmp_path / "run" / "result.json").exists()
    assert Forked((*arguments, "run"), tmp_path).wait() == 0
    from zoo.training.run import read_result

    run, unbroken = read_result(tmp_path / "run"), read_result(tmp_path / "unbroken")
    assert {k: v for k, v in run.metrics.items() if k not in CLOCKS} == {
        k: v for k, v in unbroken.metrics.items() if k not in CLOCKS
    }
    assert run._replace(folder=unbroken.folder, seconds=0.0, metrics={}) == unbroken._replace(seconds=0.0, metrics={})
    assert logs_without_clocks(tmp_path / "run") == logs_without_clocks(tmp_path / "unbroken")


def die_before_the_result() -> None:
    """For the child."""
    from zoo.training import run

    replace = run.replace_file

    def die(path: Path, text: str, durable: bool) -> None:
        if path.name == "result.json":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(path, text, durable=durable)

    run.replace_file = die
