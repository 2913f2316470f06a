"""Paths of a study's files, relative to the repository, all defined here."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dejavu.config import Params
from dejavu.study.run import Run

STORE = Path(".runs")
"""All runs by their hash: resume states, and finished runs to be used again."""
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class AnyRun:
    """Wildcards that replace a run in patterns of paths."""

    task: str = "{task}"
    network: str = "{network}"
    method: str = "{method}"
    seed: str = "{seed}"


@dataclass(frozen=True)
class Layout:
    """Paths of one study."""

    params: Params

    @property
    def pattern(self) -> "Layout":
        """The same paths with the wildcard ``{study}`` in place of the study's name."""
        return Layout(self.params.model_copy(update={"study": "{study}"}))

    @property
    def data(self) -> Path:
        """Folder of the prepared data."""
        return Path("data") / self.params.study

    def split(self, name: str) -> Path:
        """A split's file: its scenes, or an index of images read in place."""
        return self.data / f"{name}.{'npy' if self.params.data.is_rooms else 'csv'}"

    @property
    def splits(self) -> list[Path]:
        """The files of all splits."""
        return [self.split(name) for name in SPLITS]

    @property
    def manifest(self) -> Path:
        """The checksums of the prepared data."""
        return self.data / "manifest.json"

    def cache(self, split: str) -> Path:
        """Description of a split's decoded cache; its images are in the same folder."""
        return self.data / "cache" / f"{split}.json"

    @property
    def cached(self) -> tuple[str, ...]:
        """Splits that have a decoded cache by the params; rooms have none."""
        return SPLITS if self.params.data.cache and not self.params.data.is_rooms else ()

    def split_files(self, name: str) -> list[Path]:
        """The files of a split that a job reads: the split's own, and its cache if it has one."""
        return [self.split(name), *([self.cache(name)] if name in self.cached else [])]

    @property
    def results(self) -> Path:
        """Folder of all results."""
        return Path("results") / self.params.study

    def checkpoint(self, run: Run | AnyRun) -> Path:
        """Trained weights of a run."""
        return self.results / "checkpoints" / _cell(run, ".safetensors")

    def log(self, run: Run | AnyRun) -> Path:
        """Training log of a run, beside its checkpoint: a JSON object per line."""
        return self.checkpoint(run).with_suffix(".jsonl")

    def metrics(self, run: Run | AnyRun) -> Path:
        """Metrics of a run."""
        return self.results / "metrics" / "runs" / _cell(run, ".json")

    @property
    def scores(self) -> Path:
        """The metrics of all runs in one table, the source of the others."""
        return self.results / "metrics" / "runs.csv"

    @property
    def spread(self) -> Path:
        """How far scores move between processors (``make spread``)."""
        return self.results / "spread.csv"

    def measurement(self, verb: str, task: str) -> Path:
        """Numbers that a verb measured for a task, such as its oracle gaps (`MEASUREMENTS`)."""
        return self.results / "metrics" / verb / f"{task}.json"

    @property
    def text_pair(self) -> Path:
        """Trained image-text pair that stands in for CLIP."""
        return self.results / "checkpoints" / "text_pair.safetensors"

    @property
    def text_pair_metrics(self) -> Path:
        """Metrics of the image-text pair: how well it finds an image's caption."""
        return self.results / "metrics" / "text_pair.json"

    @property
    def tables(self) -> Path:
        """Folder of the tables."""
        return self.results / "tables"

    @property
    def figures(self) -> Path:
        """Folder of the figures."""
        return self.results / "figures"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.results / "report.html"

    def record(self, verb: str, of: Run | AnyRun | str | None = None) -> Path:
        """Record of a verb's results: of a run, of a task or split by name, or of the study."""
        folder = self.results / "records"
        if of is None:
            return folder / f"{verb}.json"
        return folder / verb / (f"{of}.json" if isinstance(of, str) else _cell(of, ".json"))

    def runs(self) -> Iterator[Run]:
        """Every run of the matrix, in the order of the params."""
        p = self.params
        for task in p.tasks:
            for network in p.networks:
                for method in p.methods:
                    for seed in p.seeds:
                        yield Run(p, task, network, method, seed)

    def first_runs(self, task: str) -> Iterator[Run]:
        """Runs of a task at the first seed, which measurements read."""
        seed = self.params.seeds[0]
        return (run for run in self.runs() if (run.task, run.seed) == (task, seed))

    def probed(self, task: str) -> Iterator[Run]:
        """Runs of a task to probe: of the first seed, regenerating from the live prediction."""
        for run in self.first_runs(task):
            dejavu = self.params.methods[run.method].dejavu
            if dejavu is not None and dejavu.condition == "live":
                yield run


def _cell(run: Run | AnyRun, suffix: str) -> Path:
    return Path(run.task, run.network, run.method, f"seed{run.seed}{suffix}")
