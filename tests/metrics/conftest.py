"""Oracles of optional libraries."""

from typing import Any

import pytest

from dejavu.runtime.torchvision_import import import_torchvision


@pytest.fixture(scope="session")
def jaccard_index() -> Any:
    """The class MulticlassJaccardIndex of torchmetrics."""
    # torchmetrics imports torchvision, whose operators may not fit a CPU build of torch.
    import_torchvision()
    from torchmetrics.classification import MulticlassJaccardIndex

    return MulticlassJaccardIndex
