"""All randomness comes from (seed, purpose, index): never from order, workers or time."""

import hashlib

import torch


def fold(seed: int, purpose: str, index: int = 0) -> int:
    """Return a 63-bit seed that is independent for every (seed, purpose, index).

    Example:
        >>> fold(0, "redaction", 1) != fold(0, "redaction", 2) != fold(0, "flip", 2)
        True
    """
    text = f"{seed}/{purpose}/{index}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8]) >> 1


def generator(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """Return a CPU generator for (seed, purpose, index)."""
    return torch.Generator().manual_seed(fold(seed, purpose, index))
