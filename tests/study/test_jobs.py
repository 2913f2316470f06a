from collections.abc import Iterator

from dejavu.config import Params
from dejavu.study.jobs import JOBS, Job, job_of
from dejavu.study.layout import Layout
from tests.support.studies import disk_params, tiny_params


def every_job(layout: Layout) -> Iterator[Job]:
    """The jobs of a study of rooms, in the order in which they run."""
    tasks, runs = layout.params.tasks, [*layout.runs()]
    yield JOBS["data"](layout)
    if layout.params.uses_text_pair:
        yield JOBS["text_pair"](layout)
    yield from (JOBS[verb](layout, run) for verb in ("train", "evaluate") for run in runs)
    yield from (JOBS[verb](layout, t) for verb in ("gap", "probes", "cost") for t in tasks)
    yield from (JOBS[verb](layout) for verb in ("tables", "figures", "report"))


def test_every_file_of_every_job_is_found_again() -> None:
    text = {"gamma": dict.fromkeys(("segmentation", "depth", "normals"), 1.0)}
    tree = tiny_params().model_dump()
    tree["methods"]["dejavu-spatial"]["dejavu"]["text"] = text
    rooms = Layout(Params.model_validate(tree))
    on_disk = Layout(disk_params("nyuv2"))
    jobs = [*every_job(rooms), JOBS["cache"](on_disk, "train"), JOBS["data"](on_disk)]
    assert {job.verb for job in jobs} == set(JOBS)
    for job in jobs:
        layout = on_disk if job.study == "nyuv2" else rooms
        for path in job.outputs:
            assert job_of(layout, path) == job
    assert len({job.record for job in jobs}) == len(jobs)
    made = {path for job in jobs for path in job.outputs}
    split = on_disk.split("train")
    assert {path for job in jobs for path in job.inputs} <= made | {split}
