from pathlib import Path

import pytest

from dejavu.config import Params
from dejavu.runtime.errors import DejaVuError, ParamsError
from dejavu.study.exhibits import FIGURES, TABLES
from dejavu.study.jobs import JOBS, every_job, job_of
from dejavu.study.layout import Layout
from dejavu.study.run import Run
from tests.support.studies import disk_params, tiny_params


def rooms() -> Layout:
    """A study of rooms in which one method needs the image-text pair."""
    text = {"gamma": dict.fromkeys(("segmentation", "depth", "normals"), 1.0)}
    tree = tiny_params().model_dump()
    tree["methods"]["dejavu-spatial"]["dejavu"]["text"] = text
    return Layout(Params.model_validate(tree))


def on_disk() -> Layout:
    """A study of images on disk that are decoded once."""
    return Layout(disk_params("nyuv2", data={"name": "nyuv2", "val": 1, "cache": True}))


def test_every_file_of_every_job_is_found_again() -> None:
    verbs = set()
    for layout in (rooms(), on_disk()):
        jobs = [*every_job(layout)]
        for job in jobs:
            assert all(job_of(layout, path) == job for path in job.outputs)
        assert len({job.record for job in jobs}) == len(jobs)
        verbs |= {job.verb for job in jobs}
    assert verbs == set(JOBS)


def test_each_job_reads_what_jobs_before_it_made() -> None:
    for layout in (rooms(), on_disk()):
        made: set[Path] = set()
        for kind in JOBS.values():
            for of in kind.every(layout):
                job = kind.job(layout, of)
                assert set(job.inputs) <= set(kind.reads(layout, of)) <= made
            made |= {path for of in kind.every(layout) for path in kind.job(layout, of).outputs}


def test_data_is_read_by_its_splits_and_their_caches() -> None:
    layout = on_disk()
    run = next(layout.runs())
    train = {layout.split("train"), layout.cache("train"), layout.manifest}
    assert set(JOBS["train"].reads(layout, run)) == train
    test = {layout.split("test"), layout.cache("test"), layout.manifest}
    assert set(JOBS["evaluate"].reads(layout, run)) == test | {layout.checkpoint(run)}
    plain = Layout(disk_params("nyuv2"))
    assert plain.cache("train") not in JOBS["train"].reads(plain, next(plain.runs()))
    assert [*JOBS["cache"].every(plain)] == [*JOBS["cache"].every(rooms())] == []


def test_only_methods_with_text_wait_for_the_pair() -> None:
    layout = rooms()
    waiting = [r for r in layout.runs() if layout.text_pair in JOBS["train"].reads(layout, r)]
    assert {run.method for run in waiting} == {"dejavu-spatial"}
    assert layout.text_pair in JOBS["cost"].reads(layout, "depth")
    plain = Layout(tiny_params())
    assert [*JOBS["text_pair"].every(plain)] == []
    assert plain.text_pair not in JOBS["cost"].reads(plain, "depth")


def test_patterns_name_the_files_of_every_job() -> None:
    for layout in (rooms(), on_disk()):
        for kind in JOBS.values():
            patterns = [path for listed in kind.patterns(layout).values() for path in listed]
            for of in kind.every(layout):
                names = vars(of) if isinstance(of, Run) else {"task": of, "split": of}
                filled = [str(p).format(study=layout.params.study, **names) for p in patterns]
                job = kind.job(layout, of)
                assert [*map(Path, filled)] == [*job.outputs, job.record]
                writes = [path for listed in kind.writes(layout, of).values() for path in listed]
                assert writes == [*job.outputs, job.record]


def test_tables_and_figures_are_made_by_the_jobs_of_those_names() -> None:
    layout = rooms()
    for verb, exhibits in (("tables", TABLES), ("figures", FIGURES)):
        files = [path for one in exhibits for path in one.files(layout)]
        assert len(files) == len(set(files))
        assert set(files) <= set(JOBS[verb].job(layout, None).outputs)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("data/nyuv2/cache/tset.json", "splits: the study has no 'tset'; it has: train, val, test"),
        ("results/nyuv2/metrics/gap/depht.json", "tasks: the study has no 'depht'; it has: "),
        ("results/nyuv2/checkpoints/depth/fpn/basline/seed0.jsonl", "methods: .* no 'basline'"),
        ("results/nyuv2/checkpoints/depth/fpn/baseline/seed-1.jsonl", "METHOD/seedK"),
        ("results/other/report.html", "no result of study nyuv2"),
        ("results/nyuv2/tables/main.html", "no result of study nyuv2"),
    ],
)
def test_a_file_of_no_job_is_named(path: str, message: str) -> None:
    with pytest.raises((DejaVuError, ParamsError), match=message):
        job_of(on_disk(), Path(path))
