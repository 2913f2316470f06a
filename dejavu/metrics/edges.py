"""Edges, where labels, depth or normals jump, and distances to them."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor


def check_width(width: int) -> int:
    """Return the width of a band, in pixels on each side of an edge, if it is at least 1.

    Raises:
        ValueError: it is below 1.
    """
    if width < 1:
        raise ValueError(f"width={width}: must be at least 1 pixel")
    return width


def distance_to(marked: Tensor) -> Tensor:
    """Euclidean distance of each pixel's centre to the nearest marked pixel's, in pixels.

    Args:
        marked: B x H x W bool.

    Returns:
        B x H x W float32, 0 at marked pixels; infinite in an image without any.

    Example:
        >>> distance_to(torch.tensor([[[True, False, False]]])).tolist()
        [[[0.0, 1.0, 2.0]]]
    """
    distances = np.full(marked.shape, np.inf, np.float32)
    for image, row in zip(marked.cpu().numpy(), distances, strict=True):
        if image.any():
            row[...] = distance_transform_edt(~image)
    return torch.from_numpy(distances).to(marked.device)


def same_label_within(labels: Tensor, others: Tensor, radius: int) -> Tensor:
    """Mark the pixels whose label occurs in the other map within a Euclidean radius.

    Args:
        labels: B x H x W integer; pixels with a negative label are never marked.
        others: B x H x W integer.
        radius: pixels between centres, at least 0.

    Returns:
        B x H x W bool.

    Example:
        >>> labels, others = torch.tensor([[[0, 1, -1]]]), torch.tensor([[[1, 0, -1]]])
        >>> same_label_within(labels, others, radius=1).tolist()
        [[[True, True, False]]]
    """
    height, width = labels.shape[-2:]
    padded = F.pad(others, [radius] * 4, value=-1)
    found = torch.zeros_like(labels, dtype=torch.bool)
    for y in range(2 * radius + 1):
        reach = math.isqrt(radius**2 - (y - radius) ** 2)
        for x in range(radius - reach, radius + reach + 1):
            found |= labels == padded[:, y : y + height, x : x + width]
    return found & (labels >= 0)


def touching(jumps_right: Tensor, jumps_down: Tensor) -> Tensor:
    """Mark the pixels on both sides of jumps between 4-neighbours.

    Args:
        jumps_right: B x H x (W - 1) bool, between a pixel and the one to its right.
        jumps_down: B x (H - 1) x W bool, between a pixel and the one below.

    Returns:
        B x H x W bool.

    Example:
        >>> right, down = torch.tensor([[[False, True]]]), torch.zeros(1, 0, 3).bool()
        >>> touching(right, down).tolist()
        [[[False, True, True]]]
    """
    batch, height, _ = jumps_right.shape
    marked = jumps_right.new_zeros(batch, height, jumps_down.shape[-1])
    marked[..., :-1] |= jumps_right
    marked[..., 1:] |= jumps_right
    marked[..., :-1, :] |= jumps_down
    marked[..., 1:, :] |= jumps_down
    return marked


def label_changes(labels: Tensor, ignore_index: int) -> Tensor:
    """Mark pixels with a 4-neighbour of another label; a border to ignored pixels does not count.

    Args:
        labels: B x H x W integer.
        ignore_index: label of ignored pixels.

    Returns:
        B x H x W bool.

    Example:
        >>> label_changes(torch.tensor([[[0, 0, 1, 255, 2]]]), ignore_index=255).tolist()
        [[[False, True, True, False, False]]]
    """

    def jump(a: Tensor, b: Tensor) -> Tensor:
        return (a != b) & (a != ignore_index) & (b != ignore_index)

    return touching(jump(labels[..., :-1], labels[..., 1:]), jump(labels[:, :-1], labels[:, 1:]))


def depth_edges(depth: Tensor, relative: float = 0.1) -> Tensor:
    """Mark pixels whose depth differs from a 4-neighbour's by over a fraction of the nearer one.

    Args:
        depth: B x 1 x H x W, metres; 0 or less where unknown, which makes no edge.
        relative: jumps above this fraction of the nearer depth count.

    Returns:
        B x H x W bool.

    Example:
        >>> depth_edges(torch.tensor([[[[1.0, 1.05, 1.5, 0.0]]]])).tolist()
        [[[False, True, True, False]]]
    """

    def jump(a: Tensor, b: Tensor) -> Tensor:
        near = torch.minimum(a, b)
        return ((a - b).abs() > relative * near) & (near > 0)

    d = depth[:, 0]
    return touching(jump(d[..., :-1], d[..., 1:]), jump(d[:, :-1], d[:, 1:]))


def normal_edges(normals: Tensor, degrees: float = 20.0) -> Tensor:
    """Mark pixels whose normal differs from a 4-neighbour's by more than an angle.

    Args:
        normals: B x 3 x H x W vectors of any length; zero where unknown, which makes no edge.
        degrees: jumps above this angle count.

    Returns:
        B x H x W bool.

    Example:
        >>> up, side, unknown = [0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]
        >>> normals = torch.tensor([up, up, side, unknown]).T.view(1, 3, 1, 4)
        >>> normal_edges(normals).tolist()
        [[[False, True, True, False]]]
    """

    def jump(a: Tensor, b: Tensor) -> Tensor:
        known = (a != 0).any(1) & (b != 0).any(1)
        return ((a * b).sum(1) < math.cos(math.radians(degrees))) & known

    n = F.normalize(normals.float(), dim=1)
    return touching(jump(n[..., :-1], n[..., 1:]), jump(n[:, :, :-1], n[:, :, 1:]))
