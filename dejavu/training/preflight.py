"""Build a study's networks and losses once, before its data is prepared.

Only libraries can tell whether an encoder exists and fits, and whether weights are there and can be
read. Training would say so after hours, when the run's turn comes. What params alone can tell,
`dejavu.config.consistency` does.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dejavu.config import MethodParams, Params
from dejavu.runtime.errors import DejaVuError, ParamsError
from dejavu.study.run import Run

if TYPE_CHECKING:
    from dejavu.training.step import TrainingModule

_PALETTE = [(0, 0, 0)] * 20
"""Classes that stand for the data's, whose number is not known yet."""


def check_runs(params: Params, source: str) -> None:
    """Refuse a study whose runs could not be built; the embedded study asks no library.

    Args:
        params: the study.
        source: where it was read from, for error messages.

    Raises:
        ParamsError: the message names the network or method, and the fix.
        ImportError: a library that a network or loss needs is not installed.
    """
    for run, key in _asking(params):
        try:
            _build(run)
        except (DejaVuError, ValueError) as error:
            raise ParamsError(f"{source}: {key}: {error}") from error


def _asking(params: Params) -> Iterator[tuple[Run, str]]:
    """Yield the runs that a library must judge, each with the key in question."""
    task, seed = params.tasks[0], params.seeds[0]
    for network, settings in params.networks.items():
        if settings.encoder:
            yield (
                Run(params, task, network, next(iter(params.methods)), seed),
                f"networks.{network}",
            )
        for label, method in params.methods.items():
            if _asks(method):
                yield Run(params, task, network, label, seed), f"methods.{label}"


def _asks(method: MethodParams) -> bool:
    dejavu = method.dejavu
    return dejavu is not None and (
        dejavu.condition == "features"
        or "lpips" in dejavu.distance
        or (dejavu.text is not None and dejavu.text.encoder == "clip")
    )


def _build(run: Run) -> None:
    import torch

    from dejavu.runtime.collective import Share
    from dejavu.training.build import build_task
    from dejavu.training.shared_modules import share_draws_and_statistics
    from dejavu.training.step import TrainingModule

    module = TrainingModule(run, build_task(run.identity(), _PALETTE), torch.device("cpu"))
    dejavu = run.params.methods[run.method].dejavu
    if dejavu and dejavu.text and dejavu.text.encoder == "clip":
        module.supervise(["a room"], None)
    if dejavu and dejavu.condition == "features":
        _regenerate(module, run)
    share_draws_and_statistics(module.model, Share(size=run.train.processes))


def _regenerate(module: "TrainingModule", run: Run) -> None:
    """Regenerate one grey image of the training size from the network's features."""
    import torch

    from dejavu.method.features import FeatureTap
    from dejavu.networks.registry import dense_head

    size = run.params.image_size
    assert size is not None  # fixed by the rooms or the crop
    assert module.criterion is not None
    image = torch.zeros(1, 3, *size)
    tap = FeatureTap(module.model, dense_head(module.model))
    with torch.inference_mode():
        module.model.eval()(image)
        module.criterion.regenerate(image, tap.features)
