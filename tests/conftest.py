"""What every test may count on: no network, one thread, a fixed seed, and a reason where a test is skipped."""

import importlib.util
import os
from pathlib import Path

import pytest

# Before any library reads them: no test reaches out, none draws a window, none forks a tokenizer's threads.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.pop("COLUMNS", None)  # tables are as wide as they are, whoever runs the tests

pytest_plugins = ["tests.cli.workshop"]

ROOT = Path(__file__).resolve().parent.parent
THREADS = 1  # tests run side by side (xdist), and threads cost tiny models more than they give
SEED = 20260101
HAS_TORCH = importlib.util.find_spec("torch") is not None

if importlib.util.find_spec("hypothesis"):
    from hypothesis import HealthCheck, settings

    # The same examples on each run and each machine: a failure in CI is a failure here. No deadline, and no complaint
    # about a slow start: CI machines stall.
    stalls = [HealthCheck.too_slow]
    settings.register_profile("zoo", derandomize=True, deadline=None, max_examples=50, suppress_health_check=stalls)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "zoo"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """The laws, for blocks that are not ours: docs/own_blocks.md."""
    parser.addoption("--own-blocks", action="append", default=[], metavar="FILE", help="register a user's own blocks")


def pytest_configure(config: pytest.Config) -> None:
    """Registers own blocks before any test reads the registries."""
    for file in config.getoption("--own-blocks"):
        import zoo

        zoo.import_blocks(file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `gpu` where torch sees no CUDA device."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu or _cuda_is_available():
        return
    for item in on_gpu:
        item.add_marker(pytest.mark.skip(reason="needs a CUDA device, torch sees none"))


def _cuda_is_available() -> bool:
    if not HAS_TORCH:
        return False
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session", autouse=True)
def _torch_threads() -> None:
    """One thread: small tensors are no faster with more, and sums do not depend on the machine's core count."""
    if HAS_TORCH:
        import torch

        torch.set_num_threads(THREADS)


@pytest.fixture(autouse=True)
def _torch_seed() -> None:
    """Start each test from the same random state, whatever ran before it."""
    if HAS_TORCH:
        import torch

        torch.manual_seed(SEED)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real texts that some tests read; its place can be named by ZOO_SHARED_DATA."""
    folder = Path(os.environ.get("ZOO_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; name its folder with ZOO_SHARED_DATA")
    return folder
