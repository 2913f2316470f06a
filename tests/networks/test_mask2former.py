import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dejavu.networks.mask2former import Mask2Former, semantic_scores
from dejavu.networks.registry import create_model, dense_head
from dejavu.runtime.errors import ParamsError
from tests.support.networks import images, network, network_params


def test_mask2formers_scores_are_the_sum_over_queries() -> None:
    generator = torch.Generator().manual_seed(0)
    classes = torch.randn(2, 6, 4, generator=generator)
    masks = torch.randn(2, 6, 3, 5, generator=generator)
    scores = semantic_scores(classes, masks)
    assert scores.shape == (2, 3, 3, 5)
    for b, c, y, x in np.ndindex(2, 3, 3, 5):
        total = 0.0
        for q in range(6):
            exponents = np.exp(classes[b, q].double().numpy())
            total += exponents[c] / exponents.sum() / (1 + np.exp(-float(masks[b, q, y, x])))
        assert float(scores[b, c, y, x]) == pytest.approx(total, rel=1e-5)


def test_mask2formers_output_is_the_log_of_its_scores() -> None:
    model = network("mask2former")
    assert isinstance(model, Mask2Former)
    image = images(1, 64, 96)
    queries = model.network(pixel_values=model.renormalise(image))
    scores = semantic_scores(queries.class_queries_logits, queries.masks_queries_logits)
    output = model(image)
    size = (64, 96)
    enlarged = F.interpolate((scores + 1e-6).log(), size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(output, enlarged)
    ours = scores / scores.sum(1, keepdim=True)
    np.testing.assert_allclose(scores.log().softmax(1), ours, rtol=1e-4)


def test_mask2former_has_no_dense_head() -> None:
    with pytest.raises(ParamsError, match=r"Mask2Former has no convolution .* another arch"):
        dense_head(network("mask2former"))
    assert not network_params("mask2former").facts.has_dense_head


def test_mask2former_is_for_classes() -> None:
    with pytest.raises(ValueError, match=r"channels=1: mask2former .*segmentation"):
        create_model(network_params("mask2former"), 1)
    assert network_params("mask2former").facts.tasks == ("segmentation",)
