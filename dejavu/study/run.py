"""One training run of a study, and its hash: runs of equal hash have equal results."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dejavu.config import Params, TrainParams, gammas, needs_text_pair
from dejavu.config.tasks import truth_of
from dejavu.runtime.errors import ParamsError
from dejavu.study.code import phase_code, training_modules
from dejavu.study.hashing import phase_hash


@dataclass(frozen=True)
class Run:
    """One training run of a study: a cell of tasks x networks x methods x seeds."""

    params: Params
    task: str
    network: str
    method: str
    seed: int

    def __post_init__(self) -> None:
        for field, value in (
            ("tasks", self.task),
            ("networks", self.network),
            ("methods", self.method),
            ("seeds", self.seed),
        ):
            known = getattr(self.params, field)
            if value not in known:
                listed = ", ".join(map(str, known))
                raise ParamsError(f"{field}: the study has no {value!r}; it has: {listed}")

    @property
    def truth(self) -> str:
        """Name of the ground truth that its task is made from."""
        return truth_of(self.task)

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each further loss of this run by name; the task loss has weight 1."""
        found = gammas(self.params.methods[self.method])
        return {key.split(".")[-1]: dict(gamma)[self.task] for key, gamma in found}

    @property
    def train(self) -> TrainParams:
        """Training params of this run, with the method's own number of steps."""
        train = self.params.train
        factor = self.params.methods[self.method].steps_factor
        return train.model_copy(update={"steps": max(1, round(train.steps * factor))})

    def identity(self) -> dict[str, Any]:
        """Return every field that changes the run's result.

        Labels (names of the study, networks and methods), the number of resume states and all
        settings of tables are left out.
        """
        return {
            "data": self.params.data.identity(),
            "train": training_fields(self.train),
            "task": self.task,
            "settings": getattr(self.params, self.task).model_dump(mode="json"),
            "network": self.params.networks[self.network].model_dump(mode="json"),
            "method": self._method(),
            "seed": self.seed,
        }

    def _method(self) -> dict[str, Any]:
        """Return the method's fields, with weights by task reduced to this task's weight."""
        method = self.params.methods[self.method]
        fields = method.model_dump(mode="json", exclude={"steps_factor"})
        if not method.boundary_weight:
            del fields["boundary_width"]
        dejavu = fields["dejavu"]
        if dejavu is None:
            return fields
        for name, weight in self.weights.items():
            section = dejavu if name == "dejavu" else dejavu[name]
            section["gamma"] = weight
        if needs_text_pair(method):
            dejavu["text"]["pair"] = self.params.text_pair.model_dump()
        elif dejavu["text"]:
            # The file's name and size, not where one machine keeps it.
            weights = Path(dejavu["text"]["clip_weights"])
            size = weights.stat().st_size if weights.is_file() else None
            dejavu["text"]["clip_weights"] = [weights.name, size]
        return fields

    @property
    def code(self) -> str:
        """Hash of the code that trains the run."""
        return phase_code(training_modules(self.params, self.task, self.network, self.method))

    @property
    def hash(self) -> str:
        """Hash of `identity` and of the code that trains the run."""
        return phase_hash(self.params.study, self.identity(), self.code)


TRAINING_WITHOUT_EFFECT = {"checkpoint_every", "workers", "processes", "jobs_per_device"}
"""Training params that do not change the result."""


def training_fields(train: TrainParams) -> dict[str, Any]:
    """Return the training params that change the result."""
    return train.model_dump(mode="json", exclude=TRAINING_WITHOUT_EFFECT)
