"""Verbs that compute: each holds a device while it runs, and says what to do when memory ends."""

from contextlib import nullcontext
from typing import Any

from typer.core import TyperCommand

from dejavu.devices import leased_devices


class Computing(TyperCommand):
    """A verb that computes on a device of its own, where the machine has one."""

    def invoke(self, ctx: Any) -> Any:
        """Hold a device, or wait for one, and run the verb."""
        from dejavu.config import load_params

        train = load_params(ctx.params["params"]).train
        with leased_devices(slots=train.jobs_per_device):
            return super().invoke(ctx)


class Training(TyperCommand):
    """The verb that trains a run, on a device for each of its processes."""

    def invoke(self, ctx: Any) -> Any:
        """Hold the devices and train; when memory ends, measure which batch size fits."""
        from dejavu.config import load_params
        from dejavu.identity import Run
        from dejavu.layout import Layout
        from dejavu.memory_advice import is_out_of_memory, smaller_batch
        from dejavu.parallel import is_launched

        given = ctx.params
        layout = Layout(load_params(given["params"]))
        run = Run(layout.params, given["task"], given["network"], given["method"], given["seed"])
        lease = leased_devices(run.train.processes, run.train.jobs_per_device)
        # The process that launched this one holds the devices of both.
        with nullcontext() if is_launched() else lease:
            try:
                return super().invoke(ctx)
            except (MemoryError, OSError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Out of the handler: the error is gone, and with it the networks that it held.
            raise smaller_batch(run, layout.data, layout.text_pair)
