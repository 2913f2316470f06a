"""Commands that lease a device while they run, and name the fix when memory runs out."""

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
"""Params sections with a verb's batch size; verbs that are not listed use both."""
_RUN = ("task", "network", "method", "seed")
"""Options that name a run."""
_GRACE = 10.0
"""Seconds for torchrun to notice the process that failed first and to stop the others."""


class Computing(TyperCommand):
    """A verb that leases a device, or a share of one, if the machine has any."""

    shares = True
    """Whether other jobs may use the device, if the params allow it."""
    cure = "lower it (the whole batch is on one device)"
    """What to do when memory runs out."""

    def invoke(self, ctx: Any) -> Any:
        """Lease a device, waiting for one if needed, and run the verb.

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
                reason = what_was_said(error)
        sections = _BATCHES.get(self.name or "", ["evaluation", "train"])
        sizes = [f"{s}.batch_size: {getattr(params, s).batch_size}" for s in sections]
        raise ParamsError(
            f"{file}: {' or '.join(sizes)} does not fit in memory ({reason}); {self.cure}"
        )

    def lease(self, train: "TrainParams") -> tuple[int, int]:
        """Return the number of devices to lease, and of jobs that may share each."""
        return 1, train.jobs_per_device if self.shares else 1

    def compute(self, ctx: Any, params: "Params") -> Any:
        """Run the verb on the leased devices."""
        return super().invoke(ctx)


class Timing(Computing):
    """A verb that measures time, on an unshared device."""

    shares = False


class Training(Computing):
    """The verb that trains a run, with one device per process."""

    cure = (
        "lower it or train.augmentation.crop, which gives another run; or, for the same run, raise "
        "train.processes or lower train.jobs_per_device"
    )

    def invoke(self, ctx: Any) -> Any:
        """Lease the devices and train on them; a launched process already has its device."""
        return self._train_with_others(ctx) if is_launched() else super().invoke(ctx)

    def lease(self, train: "TrainParams") -> tuple[int, int]:
        """Return one device per process, and the number of jobs that may share each."""
        return train.processes, train.jobs_per_device

    def compute(self, ctx: Any, params: "Params") -> Any:
        """Train in this process, or launch several processes."""
        processes = params.train.processes
        if processes > 1:
            find_run(params, *(ctx.params[name] for name in _RUN))  # fail once, not in each process
            sys.exit(launch(processes, sys.argv[1:]))
        return super().compute(ctx, params)

    def _train_with_others(self, ctx: Any) -> Any:
        """Train on the device leased by the launcher, or set by a manual torchrun."""
        end_with_the_launcher()
        try:
            return TyperCommand.invoke(self, ctx)
        except Exception as error:
            if lost_another(error):
                time.sleep(_GRACE)
                raise DejaVuError(
                    "another training process of this run has ended: see its error above; the same "
                    "command continues from the last resume state"
                ) from None
            if not is_out_of_memory(error):
                raise
            reason = what_was_said(error)
        print(
            f"dejavu: out of memory in a process ({reason}): lower train.batch_size",
            file=sys.stderr,
        )
        sys.exit(OUT_OF_MEMORY)
