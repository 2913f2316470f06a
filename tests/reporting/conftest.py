"""Tiny metrics files, logs, gaps, probes and costs in the layout that the study writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from dejavu.reporting.numbers import Numbers
from dejavu.reporting.tables import Design
from dejavu.runtime.strict_json import write_json
from tests.support.measured import VALUES, Write, metrics_of


@pytest.fixture
def design() -> Design:
    """Neither tasks nor methods are in alphabetical order."""
    return Design(["segmentation", "depth"], ["fpn"], ["dejavu", "baseline"], "baseline")


@pytest.fixture
def write_run(tmp_path: Path) -> Write:
    """Write one metrics file, with changed top-level keys; ``value`` replaces all values."""

    def write(
        task: str, method: str, seed: int, *, name: str = "", value: Any = None, **changes: Any
    ) -> Path:
        run = metrics_of(task, method, seed) | changes
        if value is not None:
            run["metrics"] = [metric | {"value": value} for metric in run["metrics"]]
        path = tmp_path / "runs" / task / "fpn" / method / (name or f"seed{seed}.json")
        write_json(path, run)
        return path

    return write


@pytest.fixture
def run_paths(write_run: Write) -> list[Path]:
    return [write_run(task, method, seed) for task, method in VALUES for seed in range(3)]


@pytest.fixture
def log_paths(tmp_path: Path) -> list[Path]:
    paths = []
    for task, method in VALUES:
        for seed in range(2):
            path = tmp_path / "checkpoints" / task / "fpn" / method / f"seed{seed}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [
                {
                    "step": step,
                    "task_loss": 2.0 - step / 10 + seed,
                    "dejavu_loss": 1.0 - step / 20 if method == "dejavu" else None,
                }
                for step in (0, 5, 9)
            ]
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
            paths.append(path)
    return paths


@pytest.fixture
def gap_paths(tmp_path: Path) -> list[Path]:
    paths = []
    for task in ("segmentation", "depth"):
        rows = [
            ("blank", None, "limit", 0.5),
            ("low_pass(cutoff=0.06)", "dejavu", "spectral", 0.15),
            ("identity", None, "limit", -0.01),
        ]
        tree = {
            "study": "tiny",
            "steps": 3,
            "split": "val",
            "rows": [
                {
                    "task": task,
                    "redaction": redaction,
                    "method": method,
                    "kind": kind,
                    "zeros": 1.0,
                    "ground_truth": 1 - gap,
                    "gap": gap,
                }
                for redaction, method, kind, gap in rows
            ],
        }
        paths.append(tmp_path / "gap" / f"{task}.json")
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_text(json.dumps(tree))
    return paths


@pytest.fixture
def probe_paths(tmp_path: Path) -> list[Path]:
    paths = []
    losses = {
        "segmentation": {"live": 0.38, "ground_truth": 0.33, "argmax": 0.39},
        "depth": {"live": 0.402, "ground_truth": 0.396, "argmax": None},
    }
    for task, values in losses.items():
        row = {
            "task": task,
            "network": "fpn",
            "method": "dejavu",
            "redaction": "random_blocks(block=8, keep=0.1)",
            "zeros": 0.4,
            "detached": 0.375,
        }
        tree = {"study": "tiny", "split": "val", "seed": 0, "steps": 3, "rows": [row | values]}
        paths.append(tmp_path / "probes" / f"{task}.json")
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_text(json.dumps(tree))
    return paths


@pytest.fixture
def no_probe_paths(probe_paths: list[Path]) -> list[Path]:
    """The probe files of a study in which no method regenerates from a live prediction."""
    for path in probe_paths:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"rows": []}))
    return probe_paths


@pytest.fixture
def cost_paths(tmp_path: Path) -> list[Path]:
    paths = []
    for task in ("segmentation", "depth"):
        tree = {
            "device": "cpu",
            "batch_size": 16,
            "image_size": [64, 64],
            "rounds": 2,
            "rows": [
                {
                    "task": task,
                    "network": "fpn",
                    "method": method,
                    "step_seconds": 0.03 * ratio,
                    "step_ratio": ratio,
                    "memory_bytes": 1048576,
                    "memory_ratio": 1.0,
                    "parameters": 301234,
                    "training_parameters": 301234,
                    "flops": 1500000,
                }
                for method, ratio in (("baseline", 1.0), ("dejavu", 1.25))
            ],
        }
        paths.append(tmp_path / "cost" / f"{task}.json")
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_text(json.dumps(tree))
    return paths


@pytest.fixture
def numbers(
    design: Design,
    run_paths: list[Path],
    log_paths: list[Path],
    gap_paths: list[Path],
    probe_paths: list[Path],
    cost_paths: list[Path],
) -> Numbers:
    return Numbers(design, run_paths, log_paths, gap_paths, probe_paths, cost_paths)
