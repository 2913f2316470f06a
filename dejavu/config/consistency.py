"""What the sections of a study ask of each other: all that params alone can tell before any work.

What only a library or the data can tell, `dejavu.training.preflight` and `dejavu.data.check` do.
"""

import math
from typing import TYPE_CHECKING

from dejavu.config.methods import CRMParams, MethodParams, gammas
from dejavu.config.networks import NetworkParams
from dejavu.config.redactions import check_size
from dejavu.method.redaction.base import Redaction

if TYPE_CHECKING:
    from dejavu.config.study import Params

SMALLEST_SIDE = {"ssim": 11, "lpips": 17}
"""Smallest image side in pixels of the distances that have one (`dejavu.method.distances`)."""


def check_study(params: "Params") -> None:
    """Refuse a study that could not be trained, evaluated and measured to its end.

    Raises:
        ValueError: the message names the key and the fix.
    """
    for field in ("tasks", "seeds"):
        values = getattr(params, field)
        if len(set(values)) < len(values):
            raise ValueError(f"{field}: {values} has duplicates; remove them")
    if params.report.reference not in params.methods:
        raise ValueError(
            f"report.reference: {params.report.reference!r} is not a method; choose "
            f"one of {', '.join(params.methods)}"
        )
    _check_data(params)
    for label, method in params.methods.items():
        _check_method(params, f"methods.{label}", method)
    for label, network in params.networks.items():
        _check_network(params, f"networks.{label}", network)
    _check_gap(params)
    _check_counts(params)


def check_evaluated(params: "Params", height: int, width: int) -> None:
    """Refuse evaluated images of a size that the protocol or a method cannot take.

    Raises:
        ValueError: the message names the key and the fix.
    """
    protocol = params.evaluation
    if "depth" in params.tasks and protocol.depth_crop == "eigen" and (height, width) != (480, 640):
        raise ValueError(
            f"evaluation.depth_crop: needs images of 480 x 640, but they are {height} x {width}; "
            "change it, or leave it out"
        )
    for label, method in params.methods.items():
        if method.attention:  # it redacts at inference, too
            _check_redaction(
                f"methods.{label}.attention.redaction",
                method.attention.redaction.create(),
                protocol.smallest_view(height, width),
                " in evaluation (evaluation.scales, evaluation.window)",
            )


def _check_method(params: "Params", where: str, method: MethodParams) -> None:
    train, dejavu = params.train, method.dejavu
    for key, gamma in gammas(method):
        missing = set(params.tasks) - set(gamma)
        if missing:
            raise ValueError(
                f"{where}.{key}.gamma: no weight for {', '.join(sorted(missing))}; "
                "give one for each task"
            )
    for key, part in (("dejavu", dejavu), ("attention", method.attention)):
        if part:
            redaction = part.redaction.create()
            _check_redaction(f"{where}.{key}.redaction", redaction, params.image_size)
    steps = max(1, round(train.steps * method.steps_factor))
    if train.warmup >= steps:
        raise ValueError(
            f"{where}.steps_factor: {method.steps_factor} leaves {steps} steps, and train.warmup "
            f"takes {train.warmup}; raise it, or lower train.warmup"
        )
    if dejavu is None:
        return
    redaction = dejavu.redaction.create()
    if not method.attention:  # which replaces the CRM
        _check_span(f"{where}.dejavu.crm", redaction, dejavu.crm)
    if dejavu.region == "removed" and redaction.kind != "spatial":
        raise ValueError(
            f"{where}.dejavu.region: 'removed' needs a spatial redaction, and "
            f"{dejavu.redaction.name} is {redaction.kind}; leave it out"
        )
    for term in dejavu.distance:
        side, size = SMALLEST_SIDE.get(term, 1), params.image_size
        if size and min(size) < side:
            raise ValueError(
                f"{where}.dejavu.distance.{term}: needs images of at least {side} x {side} pixels, "
                f"but they are {size[0]} x {size[1]}"
            )
    if dejavu.text and not params.data.is_rooms:
        raise ValueError(f"{where}.dejavu.text: {params.data.name} has no captions; leave it out")
    if dejavu.condition == "deranged" and train.processes > 1:
        raise ValueError(
            f"{where}.dejavu.condition: 'deranged' takes another image's prediction from the "
            "whole batch; set train.processes to 1"
        )
    if dejavu.condition == "deranged" and train.batch_size < 2:
        raise ValueError(
            f"{where}.dejavu.condition: 'deranged' takes another image's prediction from the "
            "batch; raise train.batch_size to 2 or more"
        )


def _check_redaction(
    where: str, redaction: Redaction, size: tuple[int, int] | None, when: str = ""
) -> None:
    try:
        if size:
            check_size(redaction, *size)
    except ValueError as error:
        raise ValueError(f"{where}: {error}{when}") from None


def _check_span(where: str, redaction: Redaction, crm: CRMParams) -> None:
    """Refuse holes that the CRM cannot span, whose middle it would know nothing about."""
    if crm.receptive_field <= redaction.hole:
        raise ValueError(
            f"{where}: the receptive field of {crm.receptive_field} pixels does not exceed the "
            f"redaction's {redaction.hole}-pixel holes; raise the CRM's depth or stride, or choose "
            "a redaction with smaller holes"
        )


def _check_network(params: "Params", where: str, network: NetworkParams) -> None:
    facts, name = network.facts, network.architecture
    missing = set(params.tasks) - set(facts.tasks or params.tasks)
    if missing:
        raise ValueError(
            f"{where}.architecture: {name} cannot be trained for {', '.join(sorted(missing))}"
        )
    height, width = params.image_size or (math.inf, math.inf)
    is_one_value = facts.is_pooled or max(height, width) <= facts.stride
    if is_one_value and params.train.batch_size < 2:
        raise ValueError(
            f"{where}.architecture: {name} normalises one value per image and channel over the "
            "batch; raise train.batch_size to 2 or more"
        )
    if params.train.head_rate != 1 and facts.encoder is None:
        raise ValueError(
            f"train.head_rate: is {params.train.head_rate}, but {name} ({where}) has no separate "
            "encoder; set it to 1"
        )
    if facts.has_dense_head:
        return
    for label, method in params.methods.items():
        features = method.dejavu is not None and method.dejavu.condition == "features"
        if features or method.attention:
            raise ValueError(
                f"methods.{label}: needs a network with dense features, which "
                f"{name} ({where}) does not have; remove one of the two"
            )


def _check_gap(params: "Params") -> None:
    """Check the redactions whose oracle gap is measured, each with the CRM that is trained.

    As in `dejavu.evaluation.gap`, a redaction of several methods is measured for the first, and
    the candidates with the first method's CRM.
    """
    measured: dict[str, CRMParams] = {}
    for label, method in params.methods.items():
        key = method.dejavu.redaction.model_dump_json() if method.dejavu else ""
        if method.dejavu and key not in measured:
            measured[key] = method.dejavu.crm
            redaction = method.dejavu.redaction.create()
            _check_span(f"methods.{label}.dejavu.crm", redaction, method.dejavu.crm)
    crm = next(iter(measured.values()), CRMParams())
    for index, candidate in enumerate(params.gap.candidates):
        where, redaction = f"gap.candidates.{index}", candidate.create()
        _check_redaction(where, redaction, params.image_size)
        if candidate.model_dump_json() not in measured:
            _check_span(where, redaction, crm)


def _check_data(params: "Params") -> None:
    data, augmentation = params.data, params.train.augmentation
    offered = data.tasks
    missing = [task for task in params.tasks if offered is not None and task not in offered]
    if missing:
        raise ValueError(
            f"tasks: {data.name} ({data.variant_name}) has no ground truth for "
            f"{', '.join(missing)}; it has: {', '.join(offered or ())}"
        )
    varied = augmentation.scale or not data.is_rooms
    if varied and not augmentation.crop:
        raise ValueError(
            "train.augmentation.crop: is required with train.augmentation.scale or a data set "
            "on disk: all images of a batch must have the same size"
        )
    if not data.rooms:  # images on disk are measured when they are checked
        return
    height, width = data.rooms.height, data.rooms.width
    if augmentation.border:
        _, bottom, _, right = augmentation.border
        if bottom > height or right > width:
            raise ValueError(
                f"train.augmentation.border: needs images of at least {bottom} x {right} pixels, "
                f"but they are {height} x {width}"
            )
    check_evaluated(params, height, width)


def _check_counts(params: "Params") -> None:
    if not params.data.rooms:  # a data set on disk is counted when it is checked
        return
    pool = params.data.rooms.train
    if problem := params.train.too_many(pool):
        raise ValueError(problem)
    if params.uses_text_pair and params.text_pair.batch_size > pool:
        raise ValueError(
            f"text_pair.batch_size: {params.text_pair.batch_size} is larger than the pool of "
            f"data.rooms.train = {pool}"
        )
