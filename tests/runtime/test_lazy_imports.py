import subprocess
import sys

import numpy
import pytest
import torch

from dejavu.runtime import lazy_imports


def test_torch_is_imported_when_it_is_first_used() -> None:
    code = (
        "import sys\n"
        "from dejavu.runtime.lazy_imports import torch\n"
        "print('torch' in sys.modules)\n"
        "torch.zeros\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_params_are_read_without_libraries_that_take_long_to_import() -> None:
    code = "import sys, dejavu.config; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "pydantic" in loaded
    assert not loaded & {"PIL", "numpy", "torch"}


def test_they_are_the_libraries_own() -> None:
    assert lazy_imports.np.uint8 is numpy.uint8
    assert lazy_imports.torch.Tensor is torch.Tensor
    assert lazy_imports.torch.nn.functional is torch.nn.functional
    with pytest.raises(AttributeError, match=r"'torch' has no attribute 'zeroes'"):
        _ = lazy_imports.torch.zeroes  # type: ignore[attr-defined]
