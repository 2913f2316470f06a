"""The jobs of a study."""

from collections.abc import Iterator

from dejavu.study.jobs import JOBS, Job
from dejavu.study.layout import Layout


def every_job(layout: Layout) -> Iterator[Job]:
    """The jobs of a study of rooms, in the order in which they run."""
    tasks, runs = layout.params.tasks, [*layout.runs()]
    yield JOBS["data"](layout)
    if layout.params.uses_text_pair:
        yield JOBS["text_pair"](layout)
    yield from (JOBS[verb](layout, run) for verb in ("train", "evaluate") for run in runs)
    yield from (JOBS[verb](layout, t) for verb in ("gap", "probes", "cost") for t in tasks)
    yield from (JOBS[verb](layout) for verb in ("tables", "figures", "report"))
