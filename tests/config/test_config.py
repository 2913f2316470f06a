import copy
import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml

from dejavu.config import (
    AttentionParams,
    CRMParams,
    DataParams,
    DejaVuParams,
    Params,
    RedactionParams,
    TaskName,
    load_params,
    parse_params,
)
from dejavu.config.generated import generated_files, render_params
from dejavu.config.tasks import truth_of
from dejavu.datasets.reading.registry import dataset_class
from dejavu.method.attention import SharedAttention
from dejavu.method.crm import CRM
from dejavu.method.distances import TERMS
from dejavu.method.redaction import REDACTIONS
from dejavu.runtime.errors import ParamsError
from dejavu.tasks.registry import task_names
from tests.support.studies import ON_DISK, TINY, disk_params, tiny_params, with_value

ROOT = Path(__file__).parents[2]


def message(tree: Any) -> str:
    with pytest.raises(ParamsError) as caught:
        parse_params(tree, "study.yaml")
    return str(caught.value)


@pytest.mark.parametrize("path", generated_files(), ids=str)
def test_generated_file_agrees_with_the_typed_params(path: Path) -> None:
    assert (ROOT / path).read_text() == generated_files()[path], "run `make params`"


def test_default_study_is_complete_and_valid_by_its_schema() -> None:
    tree = yaml.safe_load((ROOT / "params/default.yaml").read_text())
    jsonschema.validate(tree, json.loads((ROOT / "params/schema.json").read_text()))
    assert load_params(ROOT / "params/default.yaml").model_dump(mode="json") == tree


def test_rendering_params_loses_nothing() -> None:
    params = tiny_params()
    assert parse_params(yaml.safe_load(render_params(params)), "x") == params


def test_names_in_params_are_the_names_in_the_code() -> None:
    assert set(get_args(TaskName)) == set(task_names())
    sections = get_args(get_args(RedactionParams)[0])
    fields = {
        get_args(s.model_fields["name"].annotation)[0]: set(s.model_fields) - {"name"}
        for s in sections
    }
    assert fields == {
        name: {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        for name, kind in REDACTIONS.items()
    }


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("train.step", 3, "train: unknown key 'step'; did you mean 'steps'?"),
        ("zzz", 3, "unknown key 'zzz'; valid keys: study, tasks"),
        ("train.steps", 0, "train.steps: input should be greater than or equal to 1, not 0"),
        ("train.steps", "many", "train.steps: input should be a valid integer"),
        ("train.subset", 13, "train.subset: 13 is more than the 12 images to draw from"),
        ("train.batch_size", 9, "train.batch_size: 9 is more than the 8 images to draw from"),
        ("tasks", ["depht"], "tasks.0: input should be 'segmentation', 'depth'"),
        ("seeds", [0, 0], "seeds: [0, 0] "),
        ("report.reference", "base", "report.reference: 'base' "),
        (
            "methods.dejavu-spatial.dejavu.redaction",
            {"name": "lowpass", "cutoff": 0.1},
            "methods.dejavu-spatial.dejavu.redaction.name",
        ),
        (
            "methods.dejavu-spatial.dejavu.redaction",
            {"name": "random_blocks", "blok": 8, "keep": 0.3},
            "methods.dejavu-spatial.dejavu.redaction: unknown key 'blok'; did you mean 'block'?",
        ),
        (
            "methods.dejavu-spatial.dejavu.redaction",
            {"name": "band_stop", "low": 0.3, "high": 0.2},
            "methods.dejavu-spatial.dejavu.redaction: low=0.3: must be below high=0.2",
        ),
        (
            "methods.dejavu-spatial.dejavu.redaction",
            {"name": "block_dct", "block": 2, "keep": 0.1},
            "methods.dejavu-spatial.dejavu.redaction: keep=0.1: must be such that some but not all",
        ),
        (
            "methods.dejavu-spatial.dejavu.redaction",
            {"name": "low_pass", "cutoff": 0.71},
            "methods.dejavu-spatial.dejavu.redaction.cutoff: input should be less than or equal",
        ),
        (
            "methods.dejavu-spatial.dejavu.gamma",
            {"depth": 1, "normals": 1},
            "methods.dejavu-spatial.dejavu.gamma: no weight for segmentation",
        ),
        (
            "methods.dejavu-spatial.dejavu.redaction.block",
            64,
            "methods.dejavu-spatial.dejavu.redaction: needs images of at least 65 x 65 pixels, but",
        ),
        ("methods.dejavu-spatial.dejavu.gamma.depth", 0, "gamma.depth: input should be greater"),
        (
            "methods.dejavu-spatial.dejavu.cyclic",
            {"gamma": {"depth": 1, "normals": 1}},
            "methods.dejavu-spatial.dejavu.cyclic.gamma: no weight for segmentation",
        ),
        (
            "methods.dejavu-spatial.dejavu.text",
            {"gamma": {"depth": 1}, "encoder": "clip"},
            "methods.dejavu-spatial.dejavu.text: clip_weights: encoder 'clip' needs the file",
        ),
        (
            "methods.dejavu-spatial.dejavu.text",
            {"gamma": {"depth": 1}, "encoder": "bert"},
            "encoder: input should be 'stand_in', 'untrained' or 'clip'",
        ),
        (
            "methods.dejavu-spatial.dejavu.distance",
            {"mae": 1},
            "methods.dejavu-spatial.dejavu.distance.mae",
        ),
        ("methods.dejavu-spatial.dejavu.distance", {}, "distance: dictionary should have at least"),
        (
            "methods.dejavu-spatial.dejavu.condition",
            "lives",
            "methods.dejavu-spatial.dejavu.condition: input should be 'live', 'detached'",
        ),
        (
            "methods.dejavu-spatial.attention",
            {"redaction": {"name": "blank"}},
            "methods.dejavu-spatial: dejavu.redaction and attention.redaction must be the same",
        ),
        (
            "methods.baseline.attention",
            {"redaction": {"name": "blank"}, "width": 18},
            "methods.baseline.attention: width (18) must be a multiple of 4 and of heads",
        ),
        (
            "methods.dejavu-spatial.dejavu.redaction",
            {
                "name": "compose",
                "redactions": [{"name": "blank"}, {"name": "grid_sample", "stride": 64}],
            },
            "methods.dejavu-spatial.dejavu.redaction: needs images of at least 65 x 65 pixels, but",
        ),
        (
            "methods.baseline.attention",
            {"redaction": {"name": "random_blocks", "block": 64, "keep": 0.1}},
            "methods.baseline.attention.redaction: needs images of at least 65 x 65 pixels, but",
        ),
        (
            "gap.candidates",
            [{"name": "blank"}, {"name": "checkerboard", "block": 70}],
            "gap.candidates.1: needs images of at least 71 x 71 pixels, but they are 64 x 64",
        ),
        (
            "methods.dejavu-spatial.dejavu.redaction",
            {"name": "random_choice", "redactions": [{"name": "blank"}]},
            "methods.dejavu-spatial.dejavu.redaction.redactions: list should have at least 2",
        ),
        (
            "methods.dejavu-spatial.dejavu.redaction.fill",
            "grey",
            "fill: input should be 'zero', 'mean' or 'noise'",
        ),
        ("methods.baseline.erasing", 1.5, "methods.baseline.erasing: input should be less than"),
        (
            "methods.baseline.steps_factor",
            0,
            "methods.baseline.steps_factor: input should be",
        ),
        ("train.labelled", 9, "train.labelled: 9 is more than the 8 images to draw from"),
        ("train.label_density", 0, "train.label_density: input should be greater than 0"),
        ("evaluation.min_depth", 50.0, "evaluation: min_depth (50.0) must be below max_depth"),
        ("evaluation.split", "train", "evaluation.split: input should be 'val' or 'test'"),
        ("evaluation.scales", [], "evaluation.scales: list should have at least 1"),
        ("evaluation.scales", [1.0, 1.0], "evaluation: scales: [1.0, 1.0] names one twice"),
        ("evaluation.scales", [0.5, 0.0], "evaluation.scales.1: input should be greater than 0"),
        ("evaluation.scales", [1e300], "evaluation.scales.0: input should be less than or equal"),
        ("methods.baseline.steps_factor", 1e308, "methods.baseline.steps_factor: input should be"),
        ("evaluation.window", [0, 9], "evaluation.window.0: input should be greater than or equal"),
        ("evaluation.overlap", 1.0, "evaluation.overlap: input should be less than 1"),
        ("train.warmup", 6, "train: warmup (6) must be below steps (6)"),
        ("train.head_rate", 0, "train.head_rate: input should be greater than 0"),
        ("train.momentum", 1, "train.momentum: input should be less than 1"),
        ("train.optimizer", "lamb", "train.optimizer: input should be 'adamw', 'adam' or 'sgd'"),
        ("train.workers", -1, "train.workers: input should be greater than or equal to 0"),
        ("train.augmentation.scale", [0.5, 2], "train.augmentation.crop: is required"),
        ("train.augmentation.crop", [8, 0], "train.augmentation.crop.1: input should be greater"),
        (
            "train.augmentation.crop",
            [8, 32],
            "methods.dejavu-spatial.dejavu.redaction: needs images of at least 9 x 9 pixels, but "
            "they are 8 x 32",
        ),
        (
            "data.name",
            "nyu",
            "; did you mean 'nyuv2'?",
        ),
        ("data.name", "imagenet", "data: name: 'imagenet' is none of rooms, "),
        ("data.variant", "fine", "data: variant: rooms has no 'fine'; it has: none, leave it out"),
        ("data.name", "coco", "data: rooms: coco is not rendered; leave it out"),
        ("data.val", 0, "data.val: input should be greater than or equal to 1"),
        ("data.root", "/data", "data: unknown key 'root'"),
        (
            "networks.fpn",
            {"architecture": "mask2former", "encoder": "tu-resnet50"},
            "networks.fpn.architecture: mask2former cannot be trained for depth, normals",
        ),
    ],
)
def test_wrong_params_name_the_key_and_the_fix(path: str, value: Any, expected: str) -> None:
    found = message(with_value(path, value))
    assert found.startswith("study.yaml: ")
    assert expected in found


@pytest.mark.parametrize(
    ("path", "value", "fix"),
    [
        ("train.steps", 6.0, "write 6"),
        ("train.steps", True, "integer"),
        ("train.steps", "6", "integer"),
        ("train.flip", 1, "boolean"),
        ("train.flip", "no", "boolean"),
        ("train.learning_rate", True, "number"),
        ("train.learning_rate", "0.1", "number"),
        ("train.learning_rate", float("inf"), "finite"),
        ("train.power", float("nan"), ""),
        ("train.augmentation.crop", [64, 64.0], "write 64"),
        ("train.augmentation.scale", [0.5, float("inf")], "finite"),
        ("seeds", [False], "integer"),
        ("study", 2024, 'quote it: "2024"'),
        ("data.variant", True, 'quote it: "true"'),
        ("methods.dejavu-spatial.dejavu.gamma", True, "dictionary"),
        ("methods.dejavu-spatial.dejavu.gamma.depth", float("inf"), "finite"),
        ("methods.dejavu-spatial.dejavu.distance.mse", float("inf"), "finite"),
        ("methods.dejavu-spatial.dejavu.redaction.keep", "0.1", "number"),
        ("methods.dejavu-spatial.dejavu.redaction.block", 8.0, "write 8"),
        ("methods.baseline.steps_factor", float("inf"), "finite"),
        ("gap.candidates", [{"name": "low_pass", "cutoff": False}], "number"),
    ],
)
def test_no_value_is_converted_and_every_number_is_finite(path: str, value: Any, fix: str) -> None:
    found = message(with_value(path, value))
    assert found.startswith(f"study.yaml: {path}")
    assert fix in found


@pytest.mark.parametrize(
    "redaction",
    [{"block": 8, "keep": 0.3}, {"name": "x"}, {"name": None}, {"name": 5}, {"name": [1]}],
)
@pytest.mark.parametrize("inside", [False, True])
def test_a_redaction_without_a_valid_name_is_named(redaction: Any, inside: bool) -> None:
    key = "gap.candidates.0"
    parts = {"name": "compose", "redactions": [{"name": "blank"}, redaction]}
    found = message(with_value("gap.candidates", [parts if inside else redaction]))
    assert found.startswith(f"study.yaml: {key}{'.redactions.1' if inside else ''}")
    assert "random_blocks" in found


def test_a_whole_number_may_stand_where_a_fraction_may() -> None:
    one, same = with_value("train.learning_rate", 1), with_value("train.learning_rate", 1.0)
    assert parse_params(one, "x").model_dump_json() == parse_params(same, "x").model_dump_json()


def test_a_message_lists_some_errors_and_counts_the_others() -> None:
    found = message(with_value("seeds", [-1] * 500)).splitlines()
    assert len(found) < 30
    assert found[-1] == f"study.yaml: and {500 - len(found) + 1} errors more"


def test_features_are_a_control_of_the_crm() -> None:
    tree = with_value("methods.dejavu-spatial.dejavu.condition", "features")
    arm = tree["methods"]["dejavu-spatial"]
    arm["attention"] = {"redaction": arm["dejavu"]["redaction"]}
    assert "dejavu.condition: 'features' is a control of the CRM" in message(tree)


def test_a_derangement_needs_two_images() -> None:
    tree = with_value("methods.dejavu-spatial.dejavu.condition", "deranged")
    tree["train"]["batch_size"] = 1
    assert "'deranged' takes another image's prediction from the batch" in message(tree)


def test_the_text_pairs_batch_must_fit_the_pool_only_where_it_is_used() -> None:
    tree = with_value("text_pair.batch_size", 13)
    parse_params(tree, "unused")
    text = {"gamma": dict.fromkeys(task_names(), 1.0)}
    tree["methods"]["dejavu-spatial"]["dejavu"]["text"] = text
    assert "text_pair.batch_size: 13 is larger than the pool" in message(tree)


def test_settings_of_the_modules_are_the_modules_arguments() -> None:
    crm = set(inspect.signature(CRM).parameters) - {"condition_channels", "image_channels"}
    assert set(CRMParams.model_fields) == crm
    for name, field in CRMParams.model_fields.items():
        assert field.default == inspect.signature(CRM).parameters[name].default, name
    attention = set(inspect.signature(SharedAttention).parameters)
    assert set(AttentionParams.model_fields) <= attention
    terms = get_args(get_args(DejaVuParams.model_fields["distance"].annotation)[0])
    assert set(terms) == set(TERMS)


def test_the_committed_studies_are_valid() -> None:
    for path in (ROOT / "params").glob("*.yaml"):
        params = load_params(path)
        assert params.study == path.stem
        assert parse_params(yaml.safe_load(render_params(params)), "x") == params


def test_keys_merged_by_yaml_may_be_overridden_but_not_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("a: &a {b: 1, c: 2}\nd: {<<: *a, c: 3}\n")
    with pytest.raises(ParamsError, match="unknown key 'a'"):
        load_params(path)
    path.write_text("a: &a {b: 1}\nd: {<<: *a, c: 3, c: 4}\n")
    with pytest.raises(ParamsError, match="key 'c' is given twice"):
        load_params(path)


def test_a_missing_key_is_named() -> None:
    tree = copy.deepcopy(TINY)
    del tree["seeds"]
    assert message(tree) == "study.yaml: seeds: is missing; add it"


def test_every_error_is_reported_at_once() -> None:
    tree = with_value("train.steps", 0)
    tree["seeds"] = []
    assert len(message(tree).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1", "not valid YAML"),
        ("study: a\nstudy: b\n", "key 'study' is given twice"),
        ("- a\n", "must be a mapping of keys, not list"),
        ("", "is empty"),
    ],
)
def test_a_file_that_is_no_study_is_named(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"study\.yaml") as caught:
        load_params(path)
    assert expected in str(caught.value)


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "near.yaml").touch()
    with pytest.raises(ParamsError, match=r"no such params file; in that folder: .*near\.yaml"):
        load_params(tmp_path / "far.yaml")


def test_params_cannot_be_changed_in_place(params: Params) -> None:
    with pytest.raises(ValueError, match="frozen"):
        params.study = "other"  # type: ignore[misc]


def disk_tree(name: str, **changes: Any) -> dict[str, Any]:
    tree: dict[str, Any] = disk_params(name).model_dump(mode="json")
    return tree | changes


@pytest.mark.parametrize("name", ON_DISK)
def test_every_variant_of_a_data_set_can_be_studied(name: str) -> None:
    params = disk_params(name)
    kind = dataset_class(name)
    assert params.data.variant_name == next(iter(kind.variants))
    assert not params.data.is_rooms
    for variant, described in kind.variants.items():
        data = {"name": name, "variant": variant}
        found = parse_params(disk_tree(name, data=data, tasks=[*described.truth]), "x")
        assert {truth_of(task) for task in found.data.tasks or ()} == {*described.truth}
        assert found.image_size == (32, 48)
    known = ", ".join(kind.variants)
    tree = disk_tree(name, data={"name": name, "variant": "none"})
    assert message(tree) == f"study.yaml: data: variant: {name} has no 'none'; it has: {known}"


@pytest.mark.parametrize(
    ("name", "variant", "tasks", "missing", "offered"),
    [
        ("coco", None, ["segmentation", "depth", "normals"], "depth, normals", "segmentation"),
        ("kitti", "raw", ["segmentation", "depth"], "segmentation", "depth"),
        ("cityscapes", "fine", ["normals"], "normals", "segmentation, depth"),
    ],
)
def test_a_task_without_ground_truth_is_named(
    name: str, variant: str | None, tasks: list[str], missing: str, offered: str
) -> None:
    found = message(disk_tree(name, data={"name": name, "variant": variant}, tasks=tasks))
    chosen = DataParams(name=name, variant=variant).variant_name
    assert found.startswith(
        f"study.yaml: tasks: {name} ({chosen}) has no ground truth for {missing}; it has: {offered}"
    )


def test_images_that_are_read_in_place_need_a_crop() -> None:
    tree = disk_tree("coco")
    tree["train"]["augmentation"]["crop"] = None
    assert "train.augmentation.crop: is required" in message(tree)


def test_captions_and_counts_are_of_rooms_alone() -> None:
    tree = disk_tree("coco", methods=tiny_params().model_dump(mode="json")["methods"])
    tree["train"]["subset"] = 10**6  # known to be too many when the data has been found
    parse_params(tree, "x")
    text = {"gamma": dict.fromkeys(task_names(), 1.0)}
    tree["methods"]["dejavu-spatial"]["dejavu"]["text"] = text
    assert "methods.dejavu-spatial.dejavu.text: coco has no captions; leave it out" in message(tree)


@pytest.mark.parametrize("reads", ["attention", "features"])
def test_a_network_without_dense_features_is_not_asked_for_them(reads: str) -> None:
    tree = disk_tree("coco", methods=tiny_params().model_dump(mode="json")["methods"])
    tree["networks"]["fpn"] = {"architecture": "mask2former", "encoder": "tu-resnet50"}
    parse_params(tree, "x")
    arm = tree["methods"]["dejavu-spatial"]
    if reads == "attention":
        arm["attention"] = {"redaction": arm["dejavu"]["redaction"]}
    else:
        arm["dejavu"]["condition"] = "features"
    expected = r"methods\.dejavu-spatial: .* mask2former \(networks\.fpn\)"
    assert re.search(expected, message(tree))


def test_what_decides_the_data_is_what_it_holds() -> None:
    """Neither a name that is the default one nor a decoded copy makes other data."""
    data = DataParams(name="nyuv2", val=5)
    identity = data.identity()
    for same in ({"variant": "labelled-40"}, {"cache": True}):
        assert DataParams.model_validate({"name": "nyuv2", "val": 5} | same).identity() == identity
    for other in ({"variant": "labelled-13"}, {"val": 6}, {"name": "ade20k"}):
        assert DataParams.model_validate({"name": "nyuv2", "val": 5} | other).identity() != identity
