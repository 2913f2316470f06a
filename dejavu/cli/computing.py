"""Verbs that compute: each holds a device while it runs, and says what to do when memory ends."""

import sys
import time
from typing import Any

from typer.core import TyperCommand

from dejavu.runtime.devices import leased_devices
from dejavu.runtime.errors import (
    OUT_OF_MEMORY,
    DejaVuError,
    ParamsError,
    is_out_of_memory,
    what_was_said,
)
from dejavu.runtime.launch import end_with_the_launcher, is_launched, launch, lost_another

_BATCHES = {"evaluate": ["evaluation"], "cost": ["train"]}
"""Sections of the params whose batches a verb computes on; the other verbs have both."""
_GRACE = 10.0
"""Seconds in which torchrun notices the process that failed first, and stops the others."""


class Computing(TyperCommand):
    """A verb that computes on a device of its own, or on its part of one, where there is any."""

    shares = True
    """Whether other jobs may compute on the device, where the params let them."""

    def invoke(self, ctx: Any) -> Any:
        """Hold a device, or wait for one, and run the verb."""
        from dejavu.config import load_params

        file = ctx.params["params"]
        params = load_params(file)
        with leased_devices(slots=params.train.jobs_per_device if self.shares else 1):
            try:
                return super().invoke(ctx)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                said = what_was_said(error)
        sections = _BATCHES.get(self.name or "", ["evaluation", "train"])
        sizes = [f"{s}.batch_size: {getattr(params, s).batch_size}" for s in sections]
        raise ParamsError(
            f"{file}: {' or '.join(sizes)} does not fit in memory ({said}); lower it ({self.name} "
            "has the whole batch on one device)"
        )


class Timing(Computing):
    """A verb that measures time: no other job computes on its device."""

    shares = False


class Training(TyperCommand):
    """The verb that trains a run, on a device for each of its processes."""

    def invoke(self, ctx: Any) -> Any:
        """Train in this process, or hold the devices of those that train, and advise them."""
        if is_launched():
            return self._train_with_others(ctx)
        from dejavu.config import load_params
        from dejavu.memory_advice import smaller_batch
        from dejavu.study.layout import Layout
        from dejavu.study.run import Run

        given = ctx.params
        layout = Layout(load_params(given["params"]))
        run = Run(layout.params, given["task"], given["network"], given["method"], given["seed"])
        processes = run.train.processes
        with leased_devices(processes, run.train.jobs_per_device):
            try:
                if processes > 1:
                    sys.exit(launch(processes, sys.argv[1:]))
                return super().invoke(ctx)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                said = what_was_said(error)
            # Out of the handler: the error is gone, and with it the networks that it held.
            raise smaller_batch(run, layout.data, layout.text_pair, said)

    def _train_with_others(self, ctx: Any) -> Any:
        """Train on the device that the launcher leased, or that torchrun by hand gave."""
        end_with_the_launcher()
        try:
            return super().invoke(ctx)
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
