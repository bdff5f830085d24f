"""Folders that may be read but not written: each verb that writes names the folder and what to do."""

import errno
import io
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.tiny import Command, Workshop
from tests.report.made_up import made_up_run

PRETRAIN = "pretrain tiny-decoder.yaml name=read-only"
WRITES = {
    f"{PRETRAIN} --folder {{sealed}}/run": "run folder; --folder",
    f"{PRETRAIN} --folder {{tmp}}/run data.cache={{sealed}}": "to the cache; data.cache or $ZOO_CACHE",
    "data prepare tiny-decoder.yaml data.cache={sealed}": "to the cache; data.cache or $ZOO_CACHE",
    "tokenizer train tiny-decoder.yaml {sealed}/learnt tokenizer.kind=characters": "a folder that you may write to",
    "report {sealed}/finished": "report.html; choose a folder that you may write to",
}
"""What is typed → words that the message has beside the folder and the reason, split by "; "."""


def seal(sealed: Path, error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the folder what a read-only one is: no file opened for writing in it, none made, renamed or removed.

    Permissions say nothing to root, who runs tests in containers.
    """

    def refusing(call: Callable[..., Any], writes: Callable[..., bool]) -> Callable[..., Any]:
        def refuse(path: Any, *arguments: Any, **options: Any) -> Any:
            inside = isinstance(path, str | os.PathLike) and Path(path).is_relative_to(sealed)
            if inside and writes(*arguments, **options):
                raise OSError(error, os.strerror(error), str(path))
            return call(path, *arguments, **options)

        return refuse

    def opened_to_write(mode: str = "r", *_: Any, **__: Any) -> bool:
        return bool(set(mode) & set("wax+"))

    def flagged_to_write(flags: int, *_: Any, **__: Any) -> bool:
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

    def always(*_: Any, **__: Any) -> bool:
        return True

    refused: list[tuple[Any, str, Callable[..., bool]]] = [
        (io, "open", opened_to_write),
        (os, "open", flagged_to_write),
    ]
    refused += [(os, name, always) for name in ("mkdir", "rename", "replace", "unlink", "rmdir")]
    for module, name, writes in refused:
        monkeypatch.setattr(module, name, refusing(getattr(module, name), writes))


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES], ids=["read-only file system", "no permission"])
@pytest.mark.parametrize(("typed", "told"), WRITES.items())
def test_read_only_folder_is_named_with_what_to_do(
    typed: str,
    told: str,
    error: int,
    workshop: Workshop,
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sealed = tmp_path / "sealed"
    made_up_run(sealed / "finished")
    before = sorted(sealed.rglob("*"))
    with monkeypatch.context() as patch:
        seal(sealed, error, patch)
        status, _, err = command(*shlex.split(typed.format(sealed=sealed, tmp=tmp_path)))
    (sentence,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert status == 1, err
    for words in (str(sealed), os.strerror(error), *told.split("; ")):
        assert words in sentence, f"{words!r} is not in: {sentence}"
    assert "Traceback" not in err
    assert sorted(sealed.rglob("*")) == before
