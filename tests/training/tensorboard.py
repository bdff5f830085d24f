"""What TensorBoard shows of a run folder."""

from pathlib import Path

from tests.training.tiny import CLOCKS


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of all that is there, by tag, but for what measures the machine; as written, nothing purged."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}, purge_orphaned_data=False)
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag not in CLOCKS]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}
