"""The five studies of real data, end to end, on tiny data sets in the official layouts."""

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from dejavu.config import load_params
from tests.support.builders import ade20k, cityscapes, coco, kitti, nyuv2
from tests.support.pipeline import ROOT, clone, run

pytestmark = pytest.mark.pipeline
Plan = Callable[..., dict[str, int]]

BUILDERS: dict[str, Callable[[Path], None]] = {
    "nyuv2": nyuv2.build,
    "cityscapes": cityscapes.build,
    "ade20k": ade20k.build,
    "kitti": kitti.build,
    "coco": coco.build,
}
SMALLEST = {
    "deeplabv3plus": "resnet18",
    "fpn": "resnet18",
    "upernet": "resnet18",
    "segformer": "mit_b0",
    "hrnet": "tu-hrnet_w18_small",
    "dpt": "tu-vit_tiny_patch16_224",
}


def shrink(study: dict[str, Any]) -> dict[str, Any]:
    """Make a study that ends within a minute; data, tasks, losses and protocol stay."""
    label, network = next(iter(study["networks"].items()))
    encoder = SMALLEST.get(network["architecture"])
    methods = dict(list(study["methods"].items())[:2])
    train = study["train"] | {"steps": 2, "batch_size": 2, "subset": None, "warmup": 1}
    train["augmentation"] = train["augmentation"] | {"crop": [64, 96]}
    return study | {
        "networks": {label: network | {"encoder": encoder, "pretrained": False}},
        "methods": methods,
        "seeds": [0],
        "data": study["data"] | {"val": 1},
        "train": train | {"workers": 1, "threads": 1, "log_every": 1},
        "evaluation": study["evaluation"] | {"batch_size": 2},
        "gap": {"steps": 1},
        "cost": {"rounds": 1},
        "report": study.get("report", {}) | {"scenes": 1},
    }


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which each real-data study is tiny."""
    tree = clone(tmp_path_factory.mktemp("real"))
    for name in BUILDERS:
        study = yaml.safe_load((ROOT / f"params/{name}.yaml").read_text())
        (tree / f"params/{name}.yaml").write_text(yaml.safe_dump(shrink(study), sort_keys=False))
    return tree


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Tiny data sets outside the tree, read-only."""
    folder = tmp_path_factory.mktemp("downloads")
    for name, build in BUILDERS.items():
        (folder / name).mkdir()
        build(folder / name)
    run(folder, "chmod", "-R", "a-w", ".")
    yield {name: folder / name for name in BUILDERS}
    run(folder, "chmod", "-R", "u+w", ".")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a folder with the archive of a tiny ADE20K."""
    site = tmp_path / "site"
    ade20k.build(site / "ADEChallengeData2016")
    shutil.make_archive(str(site / "ADEChallengeData2016"), "zip", site, "ADEChallengeData2016")
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    server = ThreadingHTTPServer(("localhost", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()


def test_a_rule_downloads_what_needs_no_registration(served: str, tmp_path: Path) -> None:
    """Of the real data set all but the address and the checksum."""
    archive = tmp_path / "site/ADEChallengeData2016.zip"
    checksum = f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"
    tree, root = clone(tmp_path / "clone"), tmp_path / "root"
    source = tree / "dejavu/datasets/ade20k.py"
    text = source.read_text()
    address = "http://data.csail.mit.edu/places/ADEchallenge/"
    assert f'"{address}' in text
    text = re.sub('checksum="sha1:.*?"', f'checksum="{checksum}"', text)
    source.write_text(text.replace(f'"{address}', f'"{served}/', 1))
    flags = ("--configfile", "params/ade20k.yaml", "--config", f"root={root}")
    run(tree, "snakemake", "--cores", "1", "downloaded", *flags)
    found = root / "ADEChallengeData2016"
    said = run(tree, "python", "-m", "dejavu", "data", "check", "ade20k", "--root", str(found))
    assert "is in order: train 5, val 1, test 3" in said
    refused = ("--configfile", "params/kitti.yaml", "--config", f"root={root}")
    said = run(tree, "snakemake", "--cores", "1", "downloaded", *refused, expect=1)
    assert "registration" in said


def study_flags(name: str) -> tuple[str, ...]:
    return ("--cores", "2", "--configfile", f"params/{name}.yaml")


@pytest.mark.parametrize("name", BUILDERS)
def test_a_study_runs_from_a_download_to_its_tables(
    name: str, tree: Path, roots: dict[str, Path]
) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in roots[name].rglob("*"))
    run(tree, "snakemake", *study_flags(name), "--config", f"root={roots[name]}")
    assert sorted((p, p.stat().st_mtime_ns) for p in roots[name].rglob("*")) == before
    params = load_params(tree / f"params/{name}.yaml")
    results = tree / "results" / name
    table = (results / "tables/main.md").read_text()
    for task in params.tasks:
        metrics = results / "metrics/runs" / task
        files = [json.loads(path.read_text()) for path in metrics.rglob("*.json")]
        assert len(files) == 2
        assert all(one["dataset"] == name and one["images"] == 3 for one in files)
        assert f"truth = {files[0]['protocol']['truth']}" in table
    command = f"snakemake --cores all --configfile params/{name}.yaml --config root=DIR"
    assert command in (results / "report.html").read_text()
    assert str(roots[name]) not in (tree / f"data/{name}/manifest.json").read_text()


@pytest.mark.parametrize("name", ["my set #1", "2024_05", "~/ade"])
def test_a_root_is_read_as_it_was_typed(
    name: str, tree: Path, roots: dict[str, Path], tmp_path: Path
) -> None:
    folder = tree / name if name[0] != "~" else tmp_path / "ade"
    folder.symlink_to(roots["ade20k"])
    flags = (*study_flags("ade20k"), "-R", "check_data", "--config", f"root={name}")
    manifest = "data/ade20k/manifest.json"
    run(tree, "env", f"HOME={tmp_path}", "snakemake", *flags, "--", manifest)
    said = (tree / "logs/ade20k/check_data.log").read_text()
    assert f"in {folder if name[0] == '~' else name} is in order" in said


def test_an_empty_root_is_refused(tree: Path) -> None:
    said = run(tree, "snakemake", "-n", *study_flags("ade20k"), "--config", "root=", expect=1)
    assert "the root is empty" in said


def test_a_moved_folder_makes_nothing_stale(
    tree: Path, roots: dict[str, Path], planned: Plan, tmp_path: Path
) -> None:
    moved = shutil.copytree(roots["coco"], tmp_path / "elsewhere")
    assert planned(tree, *study_flags("coco")[2:], "--config", f"root={moved}") == {}
    assert planned(tree, *study_flags("coco")[2:]) == {}


def test_a_changed_label_is_noticed_and_then_trained_on(
    tree: Path, roots: dict[str, Path], tmp_path: Path
) -> None:
    """Files are not watched: a size that changed stops a job, and a new check makes it stale."""
    root = shutil.copytree(roots["ade20k"], tmp_path / "ade20k")
    run(root, "chmod", "-R", "u+w", ".")
    study = ("--configfile", "params/ade20k.yaml", "--config", f"root={root}")
    label = next((root / "annotations/training").iterdir())
    label.write_bytes((root / "annotations/validation/ADE_val_00000001.png").read_bytes())
    (tree / "results/ade20k/checkpoints").rename(tmp_path / "checkpoints")
    said = run(tree, "snakemake", "--cores", "2", *study, expect=1)
    assert "when the data was checked" in said
    said = run(tree, "snakemake", "--cores", "2", *study, "-R", "check_data")
    assert "Traceback" not in said


def test_wrong_data_stops_the_study_before_anything_is_trained(
    tree: Path, roots: dict[str, Path], tmp_path: Path
) -> None:
    root = shutil.copytree(roots["cityscapes"], tmp_path / "cityscapes")
    run(root, "chmod", "-R", "u+w", ".")
    broken = next((root / "gtFine/train").rglob("*_labelIds.png"))
    broken.write_bytes(broken.read_bytes()[:200])
    fresh = clone(tmp_path)
    (fresh / "params/cityscapes.yaml").write_text((tree / "params/cityscapes.yaml").read_text())
    study = ("--configfile", "params/cityscapes.yaml", "--config", f"root={root}")
    said = run(fresh, "snakemake", "--cores", "2", *study, expect=1)
    assert f"{broken.name}: cannot be decoded" in " ".join(said.split())
    assert "Traceback" not in said
    assert not (fresh / "results/cityscapes").exists()
