"""What to do when training does not fit in memory: the batch size that does, measured.

A smaller batch is another result, so nothing is changed by itself: the run fails, and its message
names a batch size that was tried. What training needs is imported late, for memory is short where
this module is used.
"""

import gc
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from dejavu.config import Params
from dejavu.runtime.errors import OUT_OF_MEMORY, DejaVuError, ParamsError, is_out_of_memory
from dejavu.runtime.launch import end_with_the_parent
from dejavu.study.run import Run

_STEPS = 3
"""Steps of a trial: from the second on, there is the optimiser's state beside the gradients."""

_SPARE = 1 << 27
"""Bytes that a trial leaves free: peaks of one run differ, by up to 80 MB as measured on a CPU."""


def smaller_batch(run: Run, data: Path, text_pair: Path, said: str) -> ParamsError:
    """Measure which batch size fits in this process's memory where the run's own does not.

    Call it when the error, whose traceback holds the networks, is gone. Each trial is a process of
    its own that trains a few steps. On a GPU this process's own context, some hundreds of MB,
    stays beside it, so that the answer is on the safe side.

    Args:
        run: the run that ran out of memory; of several processes, the part of one is tried.
        data: folder of the prepared data.
        text_pair: the trained image-text pair; only a method that is supervised by it needs it.
        said: the error's words, to be shown.

    Returns:
        The error to raise: it names the batch size that was measured to fit, if any does.
    """
    train = run.train
    device, capacity = _memory()
    print(
        f"dejavu: out of memory with train.batch_size {train.batch_size} ({said}): "
        "trying smaller ones",
        file=sys.stderr,
    )

    def fits(part: int) -> bool:
        smaller = _short(run, part)
        return smaller is not None and _fits(smaller, data, text_pair)

    part = largest_fitting(fits, train.batch_size // train.processes)
    together = f" ({part} in one process alone)" if train.processes > 1 else ""
    found = (
        f"{part * train.processes} was measured to fit" + together
        if part
        else "nor does the smallest batch that the params allow; take smaller images "
        "(train.augmentation.crop) or a device with more memory"
    )
    shared = train.jobs_per_device > 1 and device != "the CPU"
    return ParamsError(
        f"{run.task}/{run.network}/{run.method}: train.batch_size: {train.batch_size} does not fit "
        f"in the memory of {device} ({capacity / 2**30:.1f} GiB); {found}"
        + ("; or lower train.jobs_per_device, which changes no result" if shared else "")
    )


def largest_fitting(fits: Callable[[int], bool], too_large: int) -> int:
    """Find a batch size that fits: halve, then bisect to within an eighth of the largest one.

    Args:
        fits: tells whether a batch size, 1 or more, fits; it is costly.
        too_large: a batch size that does not fit.

    Returns:
        A batch size for which ``fits`` said so; 0 where 1 does not fit.

    Example:
        >>> largest_fitting(lambda size: size <= 27, 64)
        26
    """
    fitting, failing = too_large // 2, too_large
    while fitting and not fits(fitting):
        fitting, failing = fitting // 2, fitting
    while fitting and failing - fitting > max(1, fitting // 8):
        middle = (fitting + failing) // 2
        if fits(middle):
            fitting = middle
        else:
            failing = middle
    return fitting


def _short(run: Run, size: int) -> Run | None:
    """Return some steps of the run with another batch size; None where the params refuse it."""
    tree = run.params.model_dump()
    tree["train"] |= {"batch_size": size, "processes": 1, "steps": _STEPS, "warmup": 0}
    tree["methods"][run.method]["steps_factor"] = 1
    try:
        return replace(run, params=Params.model_validate(tree))
    except ValidationError:
        return None


def _fits(run: Run, data: Path, text_pair: Path) -> bool:
    """Take training steps in a process of their own; tell whether memory sufficed.

    Raises:
        ParamsError: the trial failed otherwise; its own message is on stderr.
    """
    import torch

    gc.collect()
    index = 0
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        index = torch.cuda.current_device()
    trial = multiprocessing.get_context("spawn").Process(
        target=_trial, args=(run, data, text_pair, index, os.getpid())
    )
    trial.start()
    trial.join()
    assert trial.exitcode is not None
    if trial.exitcode > 0 and trial.exitcode != OUT_OF_MEMORY:
        raise ParamsError(
            f"train.batch_size: {run.params.train.batch_size} was tried, for a larger one does not "
            "fit in memory, and failed otherwise; see above"
        )
    return trial.exitcode == 0  # below 0 it was killed, as for lack of memory on some systems


def _trial(run: Run, data: Path, text_pair: Path, index: int, parent: int) -> None:
    end_with_the_parent(parent)
    try:
        import torch

        from dejavu.training.loop import train

        if torch.cuda.is_available():
            torch.cuda.set_device(index)
        spare = bytearray(_SPARE)
        with TemporaryDirectory() as folder:
            train(run, data, Path(folder), Path(folder, "model.safetensors"), text_pair=text_pair)
        del spare
    except Exception as error:
        if is_out_of_memory(error):
            sys.exit(OUT_OF_MEMORY)
        if isinstance(error, DejaVuError):
            sys.exit(f"dejavu: {error}")
        raise


def _memory() -> tuple[str, int]:
    """Name the device that trains, and its memory in bytes."""
    import torch

    from dejavu.training.checkpoint import best_device

    if best_device().type == "cuda":
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        return properties.name, properties.total_memory
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    return "the CPU", installed if allowed == resource.RLIM_INFINITY else min(installed, allowed)
