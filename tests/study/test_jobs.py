from dejavu.config import Params
from dejavu.study.jobs import JOBS, job_of
from dejavu.study.layout import Layout
from tests.support.jobs import every_job
from tests.support.studies import disk_params, tiny_params


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
