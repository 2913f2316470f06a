"""The training step of each method."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dejavu.config import Params
from dejavu.data.store import PreparedSplit
from dejavu.method.attention import SharedAttention
from dejavu.metrics.edges import distance_to
from dejavu.runtime.errors import CheckpointError, ParamsError
from dejavu.study.run import Run
from dejavu.tasks.registry import create_task, task_names
from dejavu.training.batches import Batches, StepBatch
from dejavu.training.regeneration import derangement
from dejavu.training.step import TrainingModule, forward
from tests.support.studies import TINY, tiny_params

CPU = torch.device("cpu")
BLOCKS = {"name": "random_blocks", "block": 8, "keep": 0.3}
GAMMA = dict.fromkeys(task_names(), 0.5)
LOSS: dict[str, Any] = {"redaction": BLOCKS, "gamma": GAMMA, "crm": {"width": 4}}


def params_of(method: dict[str, Any], **changes: Any) -> Params:
    return tiny_params(methods={"baseline": {}, "arm": method}, **changes)


def run_of(method: dict[str, Any], task: str = "segmentation", seed: int = 0) -> Run:
    return Run(params_of(method), task, "fpn", "arm", seed)


@pytest.fixture
def pool(data: Path) -> PreparedSplit:
    return PreparedSplit(data, "train")


def module_of(
    method: dict[str, Any], pool: PreparedSplit, task: str = "segmentation"
) -> TrainingModule:
    return TrainingModule(run_of(method, task), create_task(task, pool.manifest.palette), CPU)


def batch_of(pool: PreparedSplit, method: dict[str, Any]) -> StepBatch:
    run = run_of(method)
    return Batches(pool, run.train, run.seed).draw(0)


def gradients(module: nn.Module, loss: Tensor) -> dict[str, Tensor | None]:
    module.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    return {name: p.grad for name, p in module.named_parameters()}


def reached(found: dict[str, Tensor | None]) -> bool:
    return any(grad is not None and bool(grad.any()) for grad in found.values())


METHODS: dict[str, dict[str, Any]] = {
    "erasing": {"erasing": 1.0},
    "boundary": {"boundary_weight": 2.0},
    "live": {"dejavu": LOSS},
    "deranged": {"dejavu": LOSS | {"condition": "deranged"}},
    "features": {"dejavu": LOSS | {"condition": "features"}},
    "cyclic": {"dejavu": LOSS | {"cyclic": {"gamma": GAMMA}}},
    "cyclic-prediction": {"dejavu": LOSS | {"cyclic": {"gamma": GAMMA, "reference": "prediction"}}},
    "attention": {"attention": {"redaction": BLOCKS, "width": 8}},
    "attention-dejavu": {"attention": {"redaction": BLOCKS, "width": 8}, "dejavu": LOSS},
}


@pytest.mark.parametrize("task", TINY["tasks"])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_its_losses_and_they_reach_the_network(
    name: str, task: str, pool: PreparedSplit
) -> None:
    module = module_of(METHODS[name], pool, task)
    losses = module.losses(batch_of(pool, METHODS[name]), step=0)
    dejavu = METHODS[name].get("dejavu")
    assert set(losses) == {"task"} | ({"dejavu", *({"cyclic"} & set(dejavu))} if dejavu else set())
    for loss in losses.values():
        assert loss.isfinite()
        assert reached(gradients(module.model, loss))


def test_methods_share_the_weights_of_the_base_network(pool: PreparedSplit) -> None:
    base = module_of({}, pool).model.state_dict()
    for name, method in METHODS.items():
        model = module_of(method, pool).model
        inner = model.network if isinstance(model, SharedAttention) else model
        state = inner.state_dict()
        assert state.keys() == base.keys(), name
        assert all(torch.equal(state[k], base[k]) for k in base), name


def test_erasing_erases_rectangles_of_some_images(pool: PreparedSplit) -> None:
    method = {"erasing": 0.5}
    module, batch = module_of(method, pool), batch_of(pool, method)
    seen: list[Tensor] = []
    module.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    for step in (*range(6), 3):
        module.losses(batch, step)
    again = seen.pop()
    assert torch.equal(again, seen[3])
    images = batch.images.image
    erased = torch.stack([(image != images).any(1) for image in seen])  # steps x B x H x W
    changed = erased.flatten(2).any(2)
    assert 0.2 < changed.float().mean() < 0.8
    for image, where in zip(torch.stack(seen)[changed], erased[changed], strict=True):
        rows, columns = where.any(1).nonzero(), where.any(0).nonzero()
        area = image[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (area == 0).all()


def test_pixels_near_edges_weigh_more(pool: PreparedSplit) -> None:
    method = {"boundary_weight": 3.0, "boundary_width": 1}
    batch, task = batch_of(pool, method), create_task("segmentation", pool.manifest.palette)
    module, plain = module_of(method, pool), module_of({}, pool)
    output = forward(plain.model, batch.images.image, 0, 0)
    near = distance_to(task.edges(batch.images.label)) <= 1
    each = nn.functional.cross_entropy(output, batch.images.label, reduction="none")
    weights = 1 + 3 * near.float()
    assert 0 < near.float().mean() < 0.9
    expected = (each * weights).sum() / weights.sum()
    assert module.losses(batch, 0)["task"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_deranged_predictions_come_from_other_images_and_send_their_gradient_there(
    pool: PreparedSplit,
) -> None:
    method = METHODS["deranged"]
    module, batch = module_of(method, pool), batch_of(pool, method)
    outputs: list[Tensor] = []
    conditions: list[Tensor] = []
    module.model.register_forward_hook(lambda m, i, output: outputs.append(output))
    assert module.criterion is not None
    module.criterion.crm.register_forward_pre_hook(  # type: ignore[union-attr]
        lambda m, inputs: conditions.append(inputs[2])
    )
    module.losses(batch, step=2)
    donors = derangement(len(outputs[0]), seed=0, step=2)
    torch.testing.assert_close(conditions[0], outputs[0].softmax(1)[donors])
    (grad,) = torch.autograd.grad(conditions[0][0].square().sum(), outputs[0])
    assert grad.flatten(1).any(1).nonzero().flatten().tolist() == [donors[0]]


@pytest.mark.parametrize("count", [2, 3, 16])
def test_nobody_is_given_their_own_prediction(count: int) -> None:
    drawn = torch.stack([derangement(count, 0, step) for step in range(200)])
    assert not (drawn == torch.arange(count)).any()
    assert (drawn.sort(1).values == torch.arange(count)).all()
    if count == 3:  # both derangements of three, about equally often
        assert 60 < (drawn[:, 0] == 1).sum() < 140


def test_the_feature_head_has_as_many_channels_and_is_trained(pool: PreparedSplit) -> None:
    module, plain = module_of(METHODS["features"], pool), module_of(METHODS["live"], pool)
    assert module.criterion is not None
    assert plain.criterion is not None
    extra = set(module.criterion.state_dict()) - set(plain.criterion.state_dict())
    assert extra == {"condition.weight", "condition.bias"}
    projection = module.criterion.condition
    assert isinstance(projection, nn.Conv2d)
    assert projection.out_channels == len(pool.manifest.palette)
    loss = module.losses(batch_of(pool, METHODS["features"]), 0)["dejavu"]
    found = gradients(module.model, loss)
    assert found["head.1.weight"] is None, "the prediction must not matter"
    assert found["stages.0.0.0.weight"] is not None
    assert reached(gradients(projection, loss))


def test_extensions_leave_running_statistics_alone(pool: PreparedSplit) -> None:
    """Only the first pass, over the real images, may move the deployed running statistics."""
    states = []
    for name in ("live", "cyclic"):
        module = module_of(METHODS[name], pool)
        module.losses(batch_of(pool, METHODS[name]), 0)
        states.append({k: v for k, v in module.model.state_dict().items() if "running" in k})
    assert states[0]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_cyclic_references_differ(pool: PreparedSplit) -> None:
    found = [
        module_of(METHODS[name], pool).losses(batch_of(pool, METHODS[name]), 0)["cyclic"]
        for name in ("cyclic", "cyclic-prediction")
    ]
    assert found[0].item() != pytest.approx(found[1].item(), rel=1e-3)


def test_unlabelled_images_are_regenerated_too(pool: PreparedSplit) -> None:
    """With no label at all, the DejaVu loss is the network's only gradient."""
    method = METHODS["live"]
    batch = batch_of(pool, method)
    unlabelled = batch.images.hide_labels(torch.zeros_like(batch.images.label, dtype=torch.bool))
    for task in TINY["tasks"]:
        module = module_of(method, pool, task)
        losses = module.losses(StepBatch(unlabelled, batch.scenes), 0)
        assert losses["task"] == 0
        assert not reached(gradients(module.model, losses["task"]))
        assert reached(gradients(module.model, losses["dejavu"]))


def test_shared_attention_regenerates_from_what_it_saw(pool: PreparedSplit) -> None:
    module = module_of(METHODS["attention-dejavu"], pool)
    assert module.criterion is not None
    assert not list(module.criterion.parameters()), "its parameters are the network's"
    loss = module.losses(batch_of(pool, METHODS["attention-dejavu"]), 0)["dejavu"]
    found = gradients(module.model, loss)
    for name in ("write.weight", "read_condition.weight", "query.weight", "network.head.1.weight"):
        grad = found[name]
        assert grad is not None, name
        assert grad.any(), name


def test_text_needs_the_pair(pool: PreparedSplit) -> None:
    method = {"dejavu": LOSS | {"text": {"gamma": GAMMA}}}
    with pytest.raises(CheckpointError, match=r"python -m dejavu text-pair"):
        module_of(method, pool).supervise(["a room"], None)


def test_dropout_has_a_stream_of_its_own() -> None:
    model, image = nn.Dropout(0.5), torch.ones(1, 3, 8, 8)
    first = forward(model, image, 0, 7)
    torch.rand(5)
    assert torch.equal(forward(model, image, 0, 7), first)
    assert not torch.equal(forward(model, image, 0, 8), first)


def test_seeds_draw_their_own_weights(pool: PreparedSplit) -> None:
    task = create_task("depth", [])
    states = [
        TrainingModule(run_of({}, "depth", seed), task, CPU).model.state_dict() for seed in (0, 1)
    ]
    assert not torch.equal(states[0]["head.1.weight"], states[1]["head.1.weight"])


def test_a_longer_baseline_has_more_steps_and_nothing_else() -> None:
    longer, plain = run_of({"steps_factor": 1.5}), run_of({})
    assert (plain.train.steps, longer.train.steps) == (6, 9)
    assert longer.identity()["method"] == plain.identity()["method"]
    direct = tiny_params(train=TINY["train"] | {"steps": 9})
    assert Run(direct, "segmentation", "fpn", "baseline", 0).hash == longer.hash


def test_drawing_losses_leaves_the_global_stream_alone(pool: PreparedSplit) -> None:
    for method in METHODS.values():
        module, batch = module_of(method, pool), batch_of(pool, method)
        before = torch.get_rng_state()
        module.losses(batch, 0)
        assert torch.equal(torch.get_rng_state(), before)


def test_each_loss_is_weighed_once_by_its_own_weight(pool: PreparedSplit) -> None:
    """Equal draws give equal unweighted losses, so that the weights alone tell two apart."""

    def method(gamma: float, cyclic: float) -> dict[str, Any]:
        return {"dejavu": LOSS | {"gamma": gamma, "cyclic": {"gamma": cyclic}}}

    batch = batch_of(pool, method(0.2, 0.1))
    plain, other = (
        module_of(method(*weights), pool).losses(batch, step=0)
        for weights in ((0.2, 0.1), (0.6, 0.05))
    )
    torch.testing.assert_close(other["task"], plain["task"])
    torch.testing.assert_close(other["dejavu"], 3 * plain["dejavu"])
    torch.testing.assert_close(other["cyclic"], 0.5 * plain["cyclic"])


class Pooling(nn.Module):
    """Pools to 1 x 1 before it normalises, unknown to params."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[-1] == 7:
            raise ValueError("seven columns")
        normalised: Tensor = self.norm(image.mean((2, 3), keepdim=True))
        return normalised.expand_as(image)


def test_a_batch_of_one_for_a_network_that_pools_is_told() -> None:
    network = Pooling().train()
    with pytest.raises(ParamsError, match=r"^train\.batch_size: 1 image of 32 x 48 .*crop"):
        forward(network, torch.zeros(1, 3, 32, 48), 0, 0)
    forward(network, torch.zeros(2, 3, 32, 48), 0, 0)
    with pytest.raises(ValueError, match="seven"):
        forward(network, torch.zeros(1, 3, 32, 7), 0, 0)
    forward(network.eval(), torch.zeros(1, 3, 32, 48), 0, 0)


def test_the_first_step_tells_it(pool: PreparedSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of one's own, whose module declares nothing of it."""
    monkeypatch.setattr("dejavu.training.step.build_network", lambda *_: Pooling())
    module, batch = module_of({}, pool), batch_of(pool, {})
    one = StepBatch(replace(batch.images, image=batch.images.image[:1]), batch.scenes[:1])
    with pytest.raises(ParamsError, match=r"train\.batch_size"):
        module.losses(one, 0)
