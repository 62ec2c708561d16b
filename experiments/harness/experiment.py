"""A task, several models, several seeds: what a script trains, and the files it leaves in its folder.

OUT/record.json     settings, versions, and of every run parameters, seconds, metrics per epoch, test metrics
OUT/metrics.csv     the metrics of every epoch of every run
OUT/model.keras     the model of the first run
OUT/runs/           the record and the model of each run, and the checkpoints of one that is not finished
OUT/settings.json   what all runs there have in common
"""

import dataclasses
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from experiments.harness import arguments, records, training
from experiments.models import recurrent
from tfq_qrnn._files import replacing


@dataclasses.dataclass(frozen=True)
class Score:
    """The number that a task is about, as tables show it.

    Args:
        metric: Its name among the test metrics.
        label: What tables call it.
        scale, digits, unit: It is shown as scale * metric, with so many digits and the unit.
        greater_is_better: Whether it is.
    """

    metric: str = "accuracy"
    label: str = "test accuracy"
    scale: float = 100.0
    digits: int = 1
    unit: str = " %"
    greater_is_better: bool = True

    def values(self, runs):
        """The scores of runs of several seeds, as they are shown."""
        return [self.scale * run["test"][self.metric] for run in runs]

    def text(self, runs):
        """Their mean and standard deviation."""
        return records.mean_and_spread(self.values(runs), self.digits, self.unit)

    def axis_label(self):
        return f"{self.label}{self.unit and ', ' + self.unit.strip()}"


@dataclasses.dataclass(frozen=True)
class Task:
    """What is learnt, on which data.

    Args:
        name: Name of the script.
        build: `build(name, units)` makes a fresh model with the recurrent layers of a name; `units` as in
            `recurrent.recurrent_layer`.
        train, validation, test: `pipelines.Examples`, or what has their methods.
        loss: A Keras loss.
        metrics: Names of Keras metrics, or functions of targets and outputs.
        score: A `Score`.
        keep_best: As in `training.Settings`.
        measure: As in `training.fit`.
        notes: What else the record is to say of the data, a dict for JSON.
        optimizer: As in `training.fit`.
    """

    name: str
    build: Callable
    train: Any
    validation: Any
    test: Any
    loss: Any
    metrics: Sequence = ("accuracy",)
    score: Score = dataclasses.field(default_factory=Score)
    keep_best: bool = False
    measure: Callable | None = None
    notes: dict = dataclasses.field(default_factory=dict)
    optimizer: Callable = training.Adam


def run(task, options):
    """Train every model with every seed; finished runs are not trained again, stopped ones are resumed.

    Args:
        task: A `Task`.
        options: The options of `arguments.parser`.

    Returns:
        `(runs, model)`: the records of the runs, in the order of the models and seeds, and the first one's model.
    """
    sizes = _sizes(task, dict.fromkeys([options.model, *options.compare]))
    settings = _common_settings(task, options)
    seeds = list(dict.fromkeys(options.seed))
    runs = [_one_run(task, options, name, units, seed) for name, units in sizes.items() for seed in seeds]
    folder = _run_folder(options, options.model, options.seed[0])
    with replacing(options.out / "model.keras") as partial:
        shutil.copyfile(folder / "model.keras", partial)
    first = {key: runs[0][key] for key in ("versions", "parameters", "seconds", "metrics", "test")}
    record = {"task": task.name, "settings": vars(options), "data": settings["data"], **first}
    records.write_json(options.out / "record.json", {**record, "score": dataclasses.asdict(task.score), "runs": runs})
    records.write_metrics(options.out / "metrics.csv", runs)
    print(f"{table(task, runs)}\n\n{options.out}: record.json, metrics.csv, model.keras")
    model = keras.models.load_model(options.out / "model.keras")
    _check_loaded(task, model, runs[0], options)
    return runs, model


def _check_loaded(task, model, run, options):
    """Load the saved model, test it, and print its loss beside that of the trained one."""
    model.compile(loss=task.loss)
    loss = float(model.evaluate(task.test.batches(options.batch_size), verbose=0))
    trained = run["test"]["loss"]
    print(f"model.keras, loaded again: test loss {loss:.4f}; when it was trained: {trained:.4f}")
    # Another graph rounds otherwise, and hundreds of steps of feedback amplify that.
    if not np.isclose(loss, trained, rtol=1e-2, equal_nan=True):
        sys.exit(f"{options.out / 'model.keras'} is not the model that was trained.")


def _sizes(task, names):
    """Name of a model -> its size, at which it has as many parameters as the qrnn."""
    target = recurrent.count_trainable(task.build("qrnn", None))
    sizes = {}
    for name in names:
        try:
            matched = name in recurrent.CLASSICAL
            sizes[name] = recurrent.matched_units(lambda u, n=name: task.build(n, u), target) if matched else None
        except ValueError as error:
            sys.exit(f"Models must be as large as the qrnn, which {name} cannot be. {error}")
        count = recurrent.count_trainable(task.build(name, sizes[name]))
        if abs(count - target) > recurrent.TOLERANCE * target:
            sys.exit(
                f"Arguments `--model` and `--compare` must name models with as many parameters as the qrnn, within "
                f"{100 * recurrent.TOLERANCE:g} %, but {name} has {count:,}, where the qrnn has {target:,}."
            )
    return sizes


def _one_run(task, options, name, units, seed):
    folder = _run_folder(options, name, seed)
    if (record := records.read_json(folder / "record.json")) is not None:
        return record
    keras.utils.set_random_seed(seed)
    model = task.build(name, units)
    result = training.fit(
        model,
        task.train,
        task.validation,
        task.test,
        training.Settings(
            options.epochs,
            options.batch_size,
            options.learning_rate,
            options.warmup,
            options.clipnorm,
            keep_best=task.keep_best,
        ),
        seed=seed,
        title=f"{name} seed {seed}",
        loss=task.loss,
        metrics=task.metrics,
        folder=folder / "checkpoints",
        logs=options.out / "logs" / folder.name if options.tensorboard else None,
        measure=task.measure,
        optimizer=task.optimizer,
    )
    # Uncompiled, so that it loads where neither the script's loss nor its metrics are known.
    trained = task.build(name, units)
    trained.set_weights(model.get_weights())
    with replacing(folder / "model.keras") as partial:
        trained.save(partial)
    about = {"model": name, "units": units, "seed": seed, "cores": len(os.sched_getaffinity(0))}
    record = {**about, "versions": records.versions(), **result}
    records.write_json(folder / "record.json", record)
    shutil.rmtree(folder / "checkpoints")
    return record


def _run_folder(options, name, seed):
    return options.out / "runs" / f"{name}-{seed}"


def _common_settings(task, options):
    """What the runs of a folder have in common; ends the program where it already holds runs of something else."""
    data = {name: getattr(task, name).digest() for name in ("train", "validation", "test")}
    if options.fresh:
        for old in ("runs", "logs"):
            shutil.rmtree(options.out / old, ignore_errors=True)
    settings = {"task": task.name, **arguments.settings(options), "data": {**task.notes, "digests": data}}
    return records.settle(options.out, settings, options.fresh)


def table(task, runs):
    """The runs as text: mean and spread over the seeds."""
    rows = []
    for name in dict.fromkeys(run["model"] for run in runs):
        same = [run for run in runs if run["model"] == name]
        seconds = f"{np.mean([run['seconds'] for run in same]):.1f}"
        rows.append([name, f"{same[0]['parameters']:,}", task.score.text(same), seconds])
    columns = ["model", "parameters", task.score.label, "seconds"]
    return "\n" + pd.DataFrame(rows, columns=columns).to_string(index=False)
