import torch
from torch import nn

from dejavu.evaluation.memory import PeakMemory


def test_views_are_counted_once_and_what_is_gone_not_at_all() -> None:
    with PeakMemory() as memory:
        x = torch.zeros(100)
        y = x.view(10, 10).t()
        assert memory.live == 400
        del x
        assert memory.live == 400, "the view keeps the storage"
        del y
        assert memory.live == 0
        torch.zeros(50)
    assert memory.peak == 400


def test_tensors_that_are_there_already_count_as_long_as_they_live() -> None:
    present = [torch.zeros(10)]
    with PeakMemory(present) as memory:
        torch.ones(10)
    assert (memory.live, memory.peak) == (40, 80)
    present.clear()
    assert memory.live == 0


def test_the_backward_pass_is_counted() -> None:
    """Weight, input, output and loss forward; then the weight's gradient at the latest."""
    layer, x = nn.Linear(64, 64, bias=False), torch.zeros(1, 64)
    with PeakMemory([layer.weight, x]) as forward:
        loss = layer(x).sum()
    with PeakMemory([layer.weight, x]) as both:
        loss = layer(x).sum()
        loss.backward()
    assert both.peak > forward.peak + 64 * 64 * 4 - 512  # the output is gone by then


def test_kept_activations_raise_the_peak() -> None:
    layers = nn.Sequential(*(nn.Sigmoid() for _ in range(8)))
    x = torch.zeros(1000, requires_grad=True)
    with PeakMemory() as kept:
        layers(x).sum().backward()
    with PeakMemory() as dropped, torch.no_grad():
        layers(x)
    assert kept.peak > dropped.peak + 4 * 4000
