"""Cost at inference: none of the DejaVu loss, some of DejaVu-SA's shared attention."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.report import Row, at_most, timed_row
from benchmarks.scale import Scale, channels_last
from benchmarks.timing import interleave, ratio
from benchmarks.training import BASELINE, Training, dejavu
from dejavu import RandomBlocks, SharedAttention, SharedAttentionLoss
from dejavu.data.sample import IMAGE_MEAN, IMAGE_STD
from dejavu.datasets.rooms.classes import CLASSES
from dejavu.networks.registry import dense_head

CELLS = (4, 8)
_CALLS = 5  # timed predictions per timed training step, since predictions are short
_DEJAVU = "trained with the DejaVu loss"


def inference_rows(scale: Scale) -> list[Row]:
    """Measure inference of one image, and the training step with shared attention."""
    batch = scale.batch_of_embedded()
    trainings = {BASELINE: Training(scale.embedded(), batch)}
    trainings[_DEJAVU] = Training(scale.embedded(), batch, dejavu())
    for cell in CELLS:
        trainings[f"shared attention, cell {cell}"] = _attention(scale.embedded(), cell, batch)
    steps = interleave({name: t.step for name, t in trainings.items()}, scale.rounds)

    networks = {name: training.network.eval() for name, training in trainings.items()}
    image = batch[0][:1]
    calls = {name: _predict(network, image) for name, network in networks.items()}
    latency = interleave(calls, _CALLS * scale.rounds)
    flops = {name: _flops(call) for name, call in calls.items()}

    section = f"Inference, embedded network (one image of 3 x {scale.side} x {scale.side})"
    rows = []
    for name in networks:
        if name == BASELINE:
            continue
        times = ratio(latency, name, BASELINE)
        work = flops[name] / flops[BASELINE]
        none = at_most(1) if name == _DEJAVU else None
        rows += [
            Row(section, name, "FLOPs / baseline", work, "x", none),
            timed_row(section, name, "latency / baseline", times),
        ]
        if name != _DEJAVU:
            step = ratio(steps, name, BASELINE)
            rows.append(timed_row(section, name, "training step / baseline", step))
    return rows


def _attention(network: nn.Module, cell: int, batch: tuple[Tensor, Tensor]) -> Training:
    redaction = RandomBlocks(block=8, keep=0.1)
    attention = SharedAttention(network, dense_head(network), len(CLASSES), redaction, cell=cell)
    channels_last(attention).train()
    criterion = SharedAttentionLoss(attention, gamma=0.3, mean=IMAGE_MEAN, std=IMAGE_STD)
    return Training(attention, batch, criterion)


def _predict(network: nn.Module, image: Tensor) -> Callable[[], Tensor]:
    @torch.inference_mode()
    def predict() -> Tensor:
        prediction: Tensor = network(image)
        return prediction

    return predict


def _flops(call: Callable[[], object]) -> int:
    # FLOPs of the CPU's fused attention are not counted; the plain kernel has the same.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        call()
    return int(counter.get_total_flops())
