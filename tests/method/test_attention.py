import copy
import dataclasses
import math
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dejavu.evaluation.memory import PeakMemory
from dejavu.method.attention import AttentionState, SharedAttention
from dejavu.method.redaction import (
    Blank,
    Checkerboard,
    LowPass,
    RandomBlocks,
    Redaction,
    SparsePixels,
)
from dejavu.networks.pyramid import FeaturePyramid

BLOCKS = RandomBlocks(4, 0.3)
Array = np.ndarray[Any, Any]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pyramid() -> FeaturePyramid:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FeaturePyramid(5, width=4)


def shared(
    redaction: Redaction = BLOCKS,
    network: nn.Module | None = None,
    started: bool = True,
    **changes: Any,
) -> SharedAttention:
    """A small wrapped network; ``started`` ones have learned to refine, so the map matters."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        arguments: dict[str, Any] = {"head": "head.1", "channels": 5, "width": 8} | changes
        attention = SharedAttention(network or pyramid(), redaction=redaction, **arguments)
        if started:
            nn.init.normal_(attention.refine.weight)
            nn.init.normal_(attention.query.weight)
            nn.init.normal_(attention.key.weight)
    return attention


def images(batch: int = 2, height: int = 24, width: int = 20, seed: int = 0) -> Tensor:
    return torch.randn(batch, 3, height, width, generator=seeded(seed))


def state_of(attention: SharedAttention) -> AttentionState:
    assert attention.last is not None
    return attention.last


def reached(parts: nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.any()) for p in parts.parameters())


def array(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def resize(x: Array, size: tuple[int, ...]) -> Array:
    return F.interpolate(torch.from_numpy(x), size, mode="bilinear", align_corners=False).numpy()


def positions(width: int, rows: int, columns: int) -> Array:
    """Sines, then cosines, of the row; then those of the column."""
    result = np.empty((width, rows, columns))
    quarter = width // 4
    for axis, channel, row, column in np.ndindex(2, quarter, rows, columns):
        angle = (row, column)[axis] / 10000 ** (2 * channel / (width / 2))
        result[axis * 2 * quarter + channel, row, column] = math.sin(angle)
        result[axis * 2 * quarter + quarter + channel, row, column] = math.cos(angle)
    return result


def by_hand(
    attention: SharedAttention, image: Tensor, condition: Tensor, redacted: Array, keep: Array
) -> tuple[Array, Array]:
    """Refined prediction and regenerated image: the module's projections, all else in NumPy."""

    def project(name: str, x: Array) -> Array:
        return array(getattr(attention, name)(torch.from_numpy(x)))

    def whole_cells(x: Array) -> Array:
        missing = [(0, -side % attention.cell) for side in x.shape[2:]]
        return np.pad(x, [(0, 0), (0, 0), *missing], mode="edge")

    def attend(values: Array) -> Array:
        batch, width, *_ = values.shape
        result = values.reshape(batch, width, -1).copy()
        size = width // attention.heads
        for sample, head in np.ndindex(batch, attention.heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[sample, :, part] @ key[sample, :, part].T / math.sqrt(size)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            result[sample, part] = result[sample, part] @ weights.T
        return result.reshape(values.shape)

    assert isinstance(attention.network, nn.Sequential)
    features = array(attention.network[:-1](image))
    seen = np.concatenate([redacted, keep], 1)
    cells = project("embed_redacted", whole_cells(seen))
    dense = resize(features, cells.shape[2:])
    cells = cells + project("embed_features", dense) + positions(*cells.shape[1:])
    tokens = cells.reshape(*cells.shape[:2], -1).transpose(0, 2, 1)
    tokens = tokens - tokens.mean(-1, keepdims=True)
    tokens /= np.sqrt((tokens**2).mean(-1, keepdims=True) + attention.norm.eps)
    tokens = tokens * array(attention.norm.weight) + array(attention.norm.bias)
    query, key = project("query", tokens), project("key", tokens)
    prediction = array(attention.network(image))
    refinement = project("refine", attend(project("read_features", dense)))
    known = np.concatenate([seen, array(condition)], 1)
    made = project("write", attend(project("read_condition", whole_cells(known))))
    height, width = image.shape[2:]
    return prediction + resize(refinement, prediction.shape[2:]), made[..., :height, :width]


@pytest.mark.parametrize("redaction", [BLOCKS, LowPass(0.1)], ids=repr)
@pytest.mark.parametrize(("heads", "cell", "stride"), [(1, 4, 1), (2, 3, 2), (4, 5, 3)])
def test_both_readers_agree_with_attention_written_out(
    redaction: Redaction, heads: int, cell: int, stride: int
) -> None:
    torch.manual_seed(2)
    network = nn.Sequential(nn.Conv2d(3, 6, 3, stride, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 1))
    sizes: dict[str, Any] = {"heads": heads, "cell": cell, "condition_channels": 2}
    attention = shared(redaction, network, head="2", **sizes).double()
    for parameter in attention.norm.parameters():
        nn.init.normal_(parameter)
    image = images(2, 11, 14).double()
    condition = torch.rand(2, 2, 11, 14, dtype=torch.float64, generator=seeded(3))
    refined = attention(image, seeded(4))
    made = attention.regenerate(condition)
    redacted, keep = redaction(image, seeded(4))
    mask = np.ones((2, 1, 11, 14)) if keep is None else array(keep)
    expected = by_hand(attention, image, condition, array(redacted), mask)
    np.testing.assert_allclose(array(refined), expected[0], atol=1e-5)
    np.testing.assert_allclose(array(made.regenerated), expected[1], atol=1e-5)
    assert torch.equal(made.redacted, redacted)
    refinement = expected[0] - array(network(image))
    assert np.abs(refinement).mean() > 0.1, "there must be a refinement to compare"


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("redaction", [BLOCKS, SparsePixels(0.1), LowPass(0.1), Blank()], ids=repr)
def test_it_starts_as_the_bare_network(redaction: Redaction, training: bool) -> None:
    attention = shared(redaction, started=False).train(training)
    bare = copy.deepcopy(attention.network)
    assert torch.equal(attention(images()), bare(images()))


def test_state_is_that_of_the_network_and_its_own() -> None:
    attention = shared()
    attention.regenerate(attention(images())[:, :5])
    keys = list(attention.state_dict())
    inner = [key.removeprefix("network.") for key in keys if key.startswith("network.")]
    assert inner == list(pyramid().state_dict())
    own = {key.split(".")[0] for key in keys} - {"network"}
    assert own == {
        *("embed_features", "embed_redacted", "norm", "query", "key"),
        *("read_features", "refine", "read_condition", "write"),
    }
    assert not dict(attention.named_buffers(recurse=False))


@given(
    st.integers(1, 2), st.integers(16, 33), st.integers(16, 33), st.integers(1, 5), st.booleans()
)
@settings(max_examples=15)
def test_any_size_gives_its_own_size(
    batch: int, height: int, width: int, cell: int, spectral: bool
) -> None:
    attention = shared(LowPass(0.1) if spectral else BLOCKS, cell=cell).eval()
    prediction = attention(images(batch, height, width))
    assert prediction.shape == (batch, 5, height, width)
    made = attention.regenerate(prediction.softmax(1))
    assert made.regenerated.shape == made.redacted.shape == (batch, 3, height, width)
    assert (made.keep is None) is spectral


@pytest.mark.parametrize("uniform", [True, False])
def test_no_value_of_the_regeneration_holds_features(uniform: bool) -> None:
    """With a uniform map, what was removed cannot be told from what is regenerated."""
    attention = shared()
    if uniform:
        nn.init.zeros_(attention.query.weight)
        nn.init.zeros_(attention.query.bias)
    image, condition = images().requires_grad_(), torch.rand(2, 5, 24, 20, generator=seeded(5))
    keep = BLOCKS(image, seeded()).keep
    assert keep is not None
    first = attention(image, seeded())
    made = attention.regenerate(condition)
    second = attention(torch.where(keep > 0, image, images(seed=9)), seeded())
    again = attention.regenerate(condition)
    assert torch.equal(made.redacted, again.redacted)
    assert not made.redacted.requires_grad
    assert (first - second).abs().max() > 0.1, "the features must differ"
    assert torch.equal(made.regenerated, again.regenerated) is uniform


@pytest.mark.parametrize("path", ["condition", "map", "neither"])
def test_the_regeneration_reaches_the_network_by_two_paths(path: str) -> None:
    """Through the condition and through the map: its values bring no features along."""
    attention = shared()
    condition = attention(images(), seeded()).softmax(1)
    if path != "map":
        last = state_of(attention)
        detached = {"query": last.query.detach(), "key": last.key.detach()}
        attention.last = dataclasses.replace(last, **detached)
    if path != "condition":
        condition = condition.detach()
    attention.regenerate(condition).regenerated.square().mean().backward()
    assert isinstance(attention.network, FeaturePyramid)
    for stage in attention.network.stages:
        assert reached(stage) is (path != "neither")
    assert reached(attention.network.head[1]) is (path == "condition")
    assert reached(attention.read_features) is (path == "condition"), "it is the refined one"
    assert reached(attention.read_condition)
    assert reached(attention.write)


def test_the_refinement_reaches_all_that_makes_it() -> None:
    attention = shared()
    attention(images(), seeded()).square().mean().backward()
    without = {
        name for name, p in attention.named_parameters() if p.grad is None or not p.grad.any()
    }
    assert {name.split(".")[0] for name in without} == {"read_condition", "write"}


def test_attention_spans_any_hole() -> None:
    """One corner of the image depends on the whole prediction, the other corner included."""
    attention = shared(Blank())
    attention(images(1, 32, 64), seeded())
    condition = torch.rand(1, 5, 32, 64, generator=seeded()).requires_grad_()
    attention.regenerate(condition).regenerated[0, :, -1, -1].sum().backward()
    assert condition.grad is not None
    assert (condition.grad.abs().sum(1) > 0).all()


def test_in_training_the_redaction_draws_from_the_generator() -> None:
    attention = shared()
    image = images()
    first, redacted = attention(image, seeded(1)), BLOCKS(image, seeded(1)).image
    assert torch.equal(state_of(attention).redacted, redacted)
    assert torch.equal(first, attention(image, seeded(1)))
    assert not torch.equal(first, attention(image, seeded(2)))
    torch.manual_seed(1)
    attention(image)
    assert torch.equal(state_of(attention).redacted, redacted), "by default from torch's own"
    attention(image)
    assert not torch.equal(state_of(attention).redacted, redacted)


@pytest.mark.parametrize("redaction", [BLOCKS, SparsePixels(0.1), Checkerboard(3)], ids=repr)
def test_in_evaluation_the_redaction_is_fixed(redaction: Redaction) -> None:
    attention = shared(redaction).eval()
    image = images(3)
    before = torch.get_rng_state()
    generator = seeded(1)
    first = attention(image, generator)
    assert torch.equal(first, attention(image))
    assert torch.equal(generator.get_state(), seeded(1).get_state())
    assert torch.equal(torch.get_rng_state(), before)
    removed = state_of(attention).redacted == 0
    assert torch.equal(removed, removed[:1].expand_as(removed))
    for sample in range(3):
        alone = attention(image[sample : sample + 1])
        torch.testing.assert_close(alone, first[sample : sample + 1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("redaction", [BLOCKS, LowPass(0.1)], ids=repr)
def test_autocast_keeps_the_dtype_of_the_bare_network(redaction: Redaction) -> None:
    attention = shared(redaction)
    exact = attention(images(), seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = attention(images(), seeded())
        assert prediction.dtype == attention.network(images()).dtype
        made = attention.regenerate(prediction.softmax(1))
    assert (prediction.float() - exact).abs().mean() < 0.05 * exact.abs().mean()
    made.regenerated.float().square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in attention.parameters())
    assert reached(attention.network)


def peak(width: int) -> int:
    """Most bytes during a training step with 16 x width tokens, beside what was there."""
    attention = shared(cell=2)
    image = images(1, 32, 2 * width)
    with PeakMemory([image, *attention.state_dict().values()]) as memory:
        prediction = attention(image, seeded())
        made = attention.regenerate(prediction.softmax(1))
        (prediction.square().mean() + made.regenerated.square().mean()).backward()
    return int(memory.peak)


def test_memory_is_linear_in_the_number_of_tokens() -> None:
    tokens = torch.zeros(1, 2, 8, 4, requires_grad=True)
    try:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            F.scaled_dot_product_attention(tokens, tokens, tokens)
    except RuntimeError as error:
        pytest.skip(f"torch has no flash attention on this CPU: {error}")
    assert peak(64) / peak(32) < 2.3
    with sdpa_kernel(SDPBackend.MATH):
        assert peak(64) / peak(32) > 3, "a materialised map must show in this measure"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_independent(copied: Callable[[SharedAttention], SharedAttention]) -> None:
    attention = shared()
    expected = attention(images(), seeded())
    state, twin = attention.last, copied(attention)
    with pytest.raises(RuntimeError, match=r"regenerate\(\) needs a forward pass"):
        twin.regenerate(torch.zeros(2, 5, 24, 20))
    assert torch.equal(twin(images(), seeded()), expected)
    nn.init.zeros_(twin.query.weight)
    twin(images(seed=3), seeded())
    assert attention.last is state
    assert torch.equal(attention(images(), seeded()), expected)


def test_a_pass_frees_what_the_last_one_kept() -> None:
    attention = shared()
    kept: list[Any] = []
    attention(images())
    query = weakref.ref(state_of(attention).query)
    head = attention.network.get_submodule("head.1")
    head.register_forward_pre_hook(lambda _, inputs: kept.append(weakref.ref(inputs[0])))
    head.register_forward_pre_hook(lambda *_: kept.append(query()))
    with torch.no_grad():
        attention(images())
    assert kept[1] is None, "the old map lives beside the new one"
    assert kept[0]() is None, "the features outlive the pass"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (torch.zeros(1, 5, 24, 20), r"condition has shape \(1, 5, 24, 20\); .* \(2, 5, 24, 20\)"),
        (torch.zeros(2, 1, 24, 20), r"condition has shape \(2, 1, 24, 20\)"),
        (torch.zeros(2, 5, 12, 10), r"condition has shape \(2, 5, 12, 10\)"),
        (torch.full((2, 5, 24, 20), math.nan), r"condition must be finite, but is nan"),
    ],
)
def test_impossible_conditions_are_refused(condition: Tensor, message: str) -> None:
    attention = shared()
    attention(images())
    with pytest.raises(ValueError, match=message):
        attention.regenerate(condition)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i: i[0], r"image has shape \(3, 24, 20\)"),
        (lambda i: i[:, :1], r"image has shape \(2, 1, 24, 20\); .* image_channels=3"),
        (lambda i: i * math.nan, r"image must be finite"),
    ],
)
def test_impossible_images_are_refused(change: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shared().eval()(change(images()))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"channels": 0}, r"channels=0: must be a whole number of at least 1"),
        ({"condition_channels": 0}, r"condition_channels=0: must be a whole number"),
        ({"cell": 1.5}, r"cell=1.5: must be a whole number"),
        ({"width": 6}, r"width=6: must be a multiple of 4 and of heads=2"),
        ({"heads": 3}, r"width=8: must be a multiple of 4 and of heads=3"),
        ({"head": "head"}, r"head='head': is a Sequential"),
    ],
)
def test_impossible_arguments_are_named(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shared(**sizes)


def test_networks_of_other_outputs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gives \(2, 5, 24, 20\); .* 2 x channels=1 x h x w"):
        shared(channels=1)(images())
    network = pyramid()
    network.register_forward_hook(lambda module, inputs, output: {"out": output})
    with pytest.raises(ValueError, match=r"gives <class 'dict'>; it must be a tensor"):
        shared(network=network)(images())
