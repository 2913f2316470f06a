"""Verbs that compute: each holds a device while it runs, and says what to do when memory ends."""

import sys
from contextlib import nullcontext
from typing import Any

from typer.core import TyperCommand

from dejavu.devices import leased_devices
from dejavu.errors import OUT_OF_MEMORY, DejaVuError, ParamsError, is_out_of_memory
from dejavu.launch import is_launched, launch, lost_another


class Computing(TyperCommand):
    """A verb that computes on a device of its own, or on its part of one, where there is any."""

    shares = True
    """Whether other jobs may compute on the device, where the params let them."""

    def invoke(self, ctx: Any) -> Any:
        """Hold a device, or wait for one, and run the verb."""
        from dejavu.config import load_params

        params = load_params(ctx.params["params"])
        with leased_devices(slots=params.train.jobs_per_device if self.shares else 1):
            try:
                return super().invoke(ctx)
            except (MemoryError, OSError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
        section = "evaluation" if self.name == "evaluate" else "train"
        raise ParamsError(
            f"{ctx.params['params']}: {section}.batch_size: {getattr(params, section).batch_size} "
            f"does not fit in memory; lower it ({self.name} has the whole batch on one device)"
        )


class Timing(Computing):
    """A verb that measures time: no other job computes on its device."""

    shares = False


class Training(TyperCommand):
    """The verb that trains a run, on a device for each of its processes."""

    def invoke(self, ctx: Any) -> Any:
        """Hold the devices and train; when memory ends, measure which batch size fits."""
        from dejavu.config import load_params
        from dejavu.identity import Run
        from dejavu.layout import Layout
        from dejavu.memory_advice import smaller_batch

        given = ctx.params
        layout = Layout(load_params(given["params"]))
        run = Run(layout.params, given["task"], given["network"], given["method"], given["seed"])
        processes = run.train.processes
        # The process that launched this one holds the devices of both.
        lease = leased_devices(processes, run.train.jobs_per_device)
        with nullcontext() if is_launched() else lease:
            try:
                if processes > 1 and not is_launched():
                    sys.exit(launch(processes, sys.argv[1:]))
                return super().invoke(ctx)
            except (MemoryError, OSError, RuntimeError) as error:
                if is_launched() and lost_another(error):
                    raise DejaVuError("another process of this run has ended") from None
                if not is_out_of_memory(error):
                    raise
        # Out of the handler: the error is gone, and with it the networks that it held.
        if is_launched():
            print(f"dejavu: out of memory in one of {processes} processes", file=sys.stderr)
            sys.exit(OUT_OF_MEMORY)
        raise smaller_batch(run, layout.data, layout.text_pair)
