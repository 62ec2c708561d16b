"""What a plan consists of: tasks with several models, studies of one model, and the jobs that they come to."""

import dataclasses

# The tuning of every model of a task, with seeds that are not among those of the results: the three learning rates in
# the middle, then the neighbours of the best one. The rate with the least mean validation loss is taken: with several
# seeds a rate at which one training of three breaks is not.
LEARNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
FIRST_RATES = LEARNING_RATES[1:4]
TUNING_SEEDS = (1000, 1001, 1002)


@dataclasses.dataclass(frozen=True)
class Job:
    """One model of one setting: a script, its arguments, and the seeds; `label` is its row in the table."""

    label: tuple[str, ...]
    script: str
    arguments: tuple[str, ...]
    model: str
    seeds: tuple[int, ...]
    folder: str
    seconds: float  # of one run, a guess for --dry-run until one was run

    def command(self):
        """The arguments of the script, without the folder."""
        return ["--model", self.model, *self.arguments, "--seed", *map(str, self.seeds)]


@dataclasses.dataclass(frozen=True)
class Task:
    """A task with its models, described on the page docs/results/NAME.md.

    The seeds are `n_seeds` from `first_seed` on, or what `n_seeds_of` and `first_seed_of` say of a model; its rate is
    tuned with `n_tuning_seeds`, or what `n_tuning_seeds_of` says. `arguments_of` has what a model is given beside
    `arguments`.
    """

    name: str
    title: str
    script: str
    models: tuple[str, ...]
    seconds: float
    arguments: tuple[str, ...] = ()
    first_seed: int = 0
    n_seeds: int = 5
    n_tuning_seeds: int = 1
    first_seed_of: dict[str, int] = dataclasses.field(default_factory=dict)
    n_seeds_of: dict[str, int] = dataclasses.field(default_factory=dict)
    n_tuning_seeds_of: dict[str, int] = dataclasses.field(default_factory=dict)
    arguments_of: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def seeds(self, model):
        first = self.first_seed_of.get(model, self.first_seed)
        return range(first, first + self.n_seeds_of.get(model, self.n_seeds))

    def job(self, model, learning_rate, seeds):
        return Job(
            (model,),
            self.script,
            (*self.arguments, *self.arguments_of.get(model, ()), "--learning-rate", f"{learning_rate:g}"),
            model,
            tuple(seeds),
            f"{self.name}/{model}/{learning_rate:g}",
            self.seconds,
        )

    def tuning_seeds(self, model):
        return TUNING_SEEDS[: self.n_tuning_seeds_of.get(model, self.n_tuning_seeds)]

    def tuning_job(self, model, learning_rate):
        return self.job(model, learning_rate, self.tuning_seeds(model))


@dataclasses.dataclass(frozen=True)
class Study:
    """One thing that is varied, described on docs/results/studies.md. `columns` name the parts of a label; `shown` are
    more test metrics of a row; `model_of` names the model of a label where it is not `model`.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    variants: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    script: str = "tasks.mnist"
    n_seeds: int = 3
    first_seed: int = 0
    model: str = "qrnn"
    model_of: dict[tuple[str, ...], str] = dataclasses.field(default_factory=dict)
    seconds: float = 15
    shown: tuple[tuple[str, str], ...] = ()

    def jobs(self):
        return [
            Job(
                label,
                self.script,
                arguments,
                self.model_of.get(label, self.model),
                tuple(range(self.first_seed, self.first_seed + self.n_seeds)),
                f"studies/{self.name}/{'_'.join(label)}",
                self.seconds,
            )
            for label, arguments in self.variants
        ]
