"""Warnings once."""

import contextlib
import warnings

from zoo.training.warned import warned_once


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    warnings.warn(text, category, stacklevel=1)


def test_what_comes_at_every_step_is_said_once_and_counted() -> None:
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        with warned_once():
            for step in range(5):
                warn(f"step {step} is slow")
            warn("something else")
            warn("step 7 is slow", RuntimeWarning)
    assert [str(each.message) for each in record] == [
        "step 0 is slow",
        "something else",
        "step 7 is slow",
        "the same came 4 times more: step 0 is slow",
    ]


def test_filters_that_change_at_every_step_do_not_matter() -> None:
    """Python itself forgets what it has shown when a filter changes, as Lightning and torch do at every step."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("default")
        with warned_once():
            for _ in range(3):
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "nothing that comes")
                warn("again and again")
    assert [str(each.message) for each in record] == [
        "again and again",
        "the same came 2 times more: again and again",
    ]


def test_gives_back_what_it_took_over() -> None:
    before = warnings.showwarning
    with warned_once():
        assert warnings.showwarning is not before
    with contextlib.suppress(ValueError), warned_once():
        raise ValueError
    assert warnings.showwarning is before
