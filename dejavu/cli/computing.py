"""Verbs that compute: each holds a device while it runs, and says what to do when memory ends."""

import sys
import time
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from dejavu.cli.options import find_run
from dejavu.runtime.devices import leased_devices
from dejavu.runtime.errors import (
    OUT_OF_MEMORY,
    DejaVuError,
    ParamsError,
    is_out_of_memory,
    what_was_said,
)
from dejavu.runtime.launch import end_with_the_launcher, is_launched, launch, lost_another

if TYPE_CHECKING:
    from dejavu.config import Params, TrainParams

_BATCHES = {"evaluate": ["evaluation"], "cost": ["train"], "train": ["train"]}
"""Sections of the params whose batches a verb computes on; the other verbs have both."""
_RUN = ("task", "network", "method", "seed")
"""Options that name a run."""
_GRACE = 10.0
"""Seconds in which torchrun notices the process that failed first, and stops the others."""


class Computing(TyperCommand):
    """A verb that computes on a device of its own, or on its part of one, where there is any."""

    shares = True
    """Whether other jobs may compute on the device, where the params let them."""
    cure = "lower it (the whole batch is on one device)"
    """What to do when memory ends."""

    def invoke(self, ctx: Any) -> Any:
        """Hold a device, or wait for one, and run the verb.

        Raises:
            ParamsError: memory ran out; the message names the batch size.
        """
        from dejavu.config import load_params

        file = ctx.params["params"]
        params = load_params(file)
        with leased_devices(*self.lease(params.train)):
            try:
                return self.compute(ctx, params)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                said = what_was_said(error)
        sections = _BATCHES.get(self.name or "", ["evaluation", "train"])
        sizes = [f"{s}.batch_size: {getattr(params, s).batch_size}" for s in sections]
        raise ParamsError(
            f"{file}: {' or '.join(sizes)} does not fit in memory ({said}); {self.cure}"
        )

    def lease(self, train: "TrainParams") -> tuple[int, int]:
        """Return how many devices to hold, and how many jobs may share each."""
        return 1, train.jobs_per_device if self.shares else 1

    def compute(self, ctx: Any, params: "Params") -> Any:
        """Run the verb on the devices that are held."""
        return super().invoke(ctx)


class Timing(Computing):
    """A verb that measures time: no other job computes on its device."""

    shares = False


class Training(Computing):
    """The verb that trains a run, on a device for each of its processes."""

    cure = (
        "lower it, or crop images smaller (train.augmentation.crop): that is another run; more "
        "train.processes, or fewer train.jobs_per_device, also need less memory, for the same run"
    )

    def invoke(self, ctx: Any) -> Any:
        """Hold the devices and train on them; a process that was launched has its own already."""
        return self._train_with_others(ctx) if is_launched() else super().invoke(ctx)

    def lease(self, train: "TrainParams") -> tuple[int, int]:
        """Return as many devices as processes, and how many jobs may share each."""
        return train.processes, train.jobs_per_device

    def compute(self, ctx: Any, params: "Params") -> Any:
        """Train in this process, or in several that it launches."""
        processes = params.train.processes
        if processes > 1:
            find_run(params, *(ctx.params[name] for name in _RUN))  # or each process would complain
            sys.exit(launch(processes, sys.argv[1:]))
        return super().compute(ctx, params)

    def _train_with_others(self, ctx: Any) -> Any:
        """Train on the device that the launcher leased, or that torchrun by hand gave."""
        end_with_the_launcher()
        try:
            return TyperCommand.invoke(self, ctx)
        except Exception as error:
            if lost_another(error):
                time.sleep(_GRACE)
                raise DejaVuError(
                    "another process that trains this run has ended: see what it said; the same "
                    "command continues from the last resume state"
                ) from None
            if not is_out_of_memory(error):
                raise
            said = what_was_said(error)
        print(
            f"dejavu: out of memory in a process ({said}): lower train.batch_size", file=sys.stderr
        )
        sys.exit(OUT_OF_MEMORY)
