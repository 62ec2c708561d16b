"""Pages and pictures of docs/results, and the table of the README, from records alone."""

import dataclasses
import pathlib
import textwrap

import matplotlib.pyplot as plt
import numpy as np

from common import plan, plots, records
from common.experiment import Score

MISSING = "not run yet"
START, END = "<!-- results:start -->\n", "<!-- results:end -->\n"  # around the table of the README
_NOTE = (
    "Written by `make results` from the records in `docs/results/records`; every number of a table comes from there. "
    "What was seen is told by hand.\n"
)


def compare(score, runs, others):
    """ "ahead", "behind" or "overlapping": intervals of one standard deviation about the means."""
    (mean, spread), (other, other_spread) = (_interval(score, part) for part in (runs, others))
    if np.isnan(mean) or np.isnan(other):
        return "overlapping" if np.isnan(mean) and np.isnan(other) else "behind" if np.isnan(mean) else "ahead"
    if abs(mean - other) <= spread + other_spread:
        return "overlapping"
    return "ahead" if (mean > other) == score.greater_is_better else "behind"


def _interval(score, runs):
    values = np.array([score.scale * run["test"][score.metric] for run in runs])
    return values.mean(), values.std(ddof=1) if len(values) > 1 else 0.0


def table(head, rows):
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def index(found):
    """The page with all tasks.

    Args:
        found: Name of a task or study -> its entries, what `results.collect` gives: a list of dicts with label,
            command, score, data, versions and runs.
    """
    rows = []
    for model in plan.MODELS:
        rows.append([_model(model), *(_cell(task, model, found.get(task.name, ())) for task in plan.TASKS)])
    scores = [found[task.name][0]["score"] if found.get(task.name) else None for task in plan.TASKS]
    head = ["model"] + [
        f"[{task.title}]({task.name}.md)" + (f"<br>{score['label']}" if score else "")
        for task, score in zip(plan.TASKS, scores, strict=True)
    ]
    studies = "\n".join(f"- [{study.title}](studies.md#{_anchor(study.title)})" for study in plan.STUDIES)
    return f"""# Results

{_NOTE}
Every model has as many parameters as the QRNN, within 3 %, and is tuned by one rule, on validation data and with one
seed that is none of the results': the learning rates {_listed(f"{rate:g}" for rate in plan.FIRST_RATES)} are tried, and
where the best is the first or the last of them, {plan.LEARNING_RATES[0]:g} or {plan.LEARNING_RATES[-1]:g}, too.
Then all seeds are trained with the best rate, and tested. Classical layers start as Keras or their papers start them;
how a QRNN starts was chosen on validation data of several of these tasks
([how](../long_sequences.md#three-arguments)), and, for
[copying memory](../long_sequences.md#copying-memory), separately.
At as many parameters the memories differ in size: 64 complex numbers in a QRNN of six qubits and in a unitary RNN,
14 to 23 units in an LSTM. Which of the two counts is not separated.
Mean and standard deviation over the seeds; "-" is a model that a task leaves out, as its page says.

{table(head, rows)}
The scoRNN is orthogonal (arXiv:1707.09520); the unitary RNN is a QRNN whose circuit is replaced by diagonals between
Fourier transforms (after arXiv:1511.06464); the linear controller has no activation. An "adapter", on the pages of the
tasks, is a narrow layer before a classical one that fills up its parameters. All are in `experiments/common/baselines.py`.

The QRNN beside the LSTM: ahead or behind where their intervals of one standard deviation do not touch. With three
seeds this is no strict test. The deviation is that over seeds; another test set of a few hundred examples would move an
accuracy by one or two per cent more. A model of which one training fails has a wide interval, and may be overlapping
for that.

{summary(found)}
Studies, on the QRNN but where one says otherwise:

{studies}
- [Where the gradient goes](../long_sequences.md#where-the-gradient-goes), over hundreds of time steps

To run them: `make results`, or `python experiments/results.py --only NAME`; `--list` tells the names, `--dry-run` how long
it takes. Stopped, it goes on where it was; with `--keep` it trains only what the records here do not tell.
"""


def summary(found, folder=""):
    """The QRNN beside the LSTM, a line per task; the links lead to pages in `folder`."""
    rows = []
    for task in plan.TASKS:
        qrnn, lstm = (_entry(found.get(task.name, ()), (model,)) for model in ("qrnn", "lstm"))
        score = (qrnn or lstm or {"score": None})["score"]
        rows.append(
            [
                f"[{task.title}]({folder}{task.name}.md)",
                (score["label"] if score["greater_is_better"] else f"{score['label']} (less is better)")
                if score
                else "",
                *(_text(entry) if entry else MISSING for entry in (qrnn, lstm)),
                compare(Score(**score), qrnn["runs"], lstm["runs"]) if qrnn and lstm else MISSING,
            ]
        )
    return table(["task", "score", "QRNN", "LSTM", "the QRNN is"], rows)


def write_readme(path, found):
    """Put the summary between its two marks in a README."""
    before, rest = path.read_text("utf-8").split(START)
    after = rest.split(END)[1]
    text = f"{before}{START}{summary(found, 'docs/results/')}{END}{after}"
    records.write(path, lambda partial: partial.write_text(text, "utf-8"))


def task_page(task, entries, tuning):
    """The page of a task, as a model card."""
    head = [f"# {task.title}\n", _NOTE, f"**Data.** {task.card}"]
    if entries:
        data = entries[0]["data"]
        head.append(f"Set: {data['name']}. Licence: {data['licence']}.")
    head.append(
        f"\n**Tuning.** Every model is trained with the learning rates "
        f"{_listed(f'{rate:g}' for rate in plan.FIRST_RATES)} and seed {plan.TUNING_SEED}; where the best is the first "
        f"or the last of them, with {plan.LEARNING_RATES[0]:g} or {plan.LEARNING_RATES[-1]:g}, too. The rate with the "
        "least validation loss is taken; where it is an end of those told below, others might do better. No test score "
        "is looked at for it. Sizes, epochs and batches are the same for all models: the script's defaults, but for "
        "what the commands below say. On digits they were chosen for the QRNN.\n"
    )
    rows = []
    for model in task.models:
        entry = _entry(entries, (model,))
        losses = tuning.get(model, {})
        tried = ", ".join(f"{rate}: {loss:.4f}" for rate, loss in losses.items()) or MISSING
        if not entry:
            rows.append([_model(model), *[MISSING] * 5, tried, ""])
            continue
        runs, command = entry["runs"], entry["command"]
        rate = command[command.index("--learning-rate") + 1]
        size = _size(runs[0]["units"])
        rows.append([_model(model), f"{runs[0]['parameters']:,}", size, _text(entry), *_seconds(runs), tried, rate])
    label = entries[0]["score"]["label"] if entries else "test score"
    columns = ["model", "parameters", "units", label, "seconds", "CPU seconds", "validation loss by rate", "rate"]
    page = "\n".join(head) + "\n" + table(columns, rows)
    if entries:
        cores = sorted({run["cores"] for entry in entries for run in entry["runs"]})
        seeds = {len(entry["runs"]) for entry in entries}
        page += (
            f"\nMean and standard deviation over {_listed(map(str, sorted(seeds)))} seeds; seconds of one training on "
            f"{_listed(map(str, cores))} cores, which had other work, too, so that they compare nothing; "
            "[benchmarks](../benchmarks.md) do.\n\n"
            f"{_wins(entries)}\n\n"
            f"![Validation loss of every epoch]({task.name}.png)\n"
        )
        page += f"\n**What was seen.** {task.seen}\n" * bool(task.seen)
        page += f"\n**Commands.**\n\n```sh\n{_commands(task.script, entries)}\n```\n\n{_versions(entries)}\n"
        page += f"\n**Your own data.** {_own_data(task.script)}\n"
    return page


def _own_data(script):
    if script == "copying_memory":
        return "The script makes its data; a class of yours can take the place of `Strings` in its `main`."
    return (
        "Add `--dataset FILE` to a command ([what it may be](../get_started.md#your-own-data)). To tune as here, run "
        f"it with `--seed {plan.TUNING_SEED}` and each rate, and take the rate with the least `val_loss`."
    )


def studies_page(found):
    """The page of all studies."""
    parts = [
        f"# Studies\n\n{_NOTE}\nWhere a study names no learning rate, it is the script's default for every row, 0.01 "
        "for digits: it was not tuned for each.\n"
    ]
    for study in plan.STUDIES:
        entries = found.get(study.name, [])
        label = entries[0]["score"]["label"] if entries else "test score"
        more = [f"at {name}" for _, name in study.shown]
        rows = []
        for job in study.jobs():
            entry = _entry(entries, job.label)
            if not entry:
                rows.append([*job.label, *[MISSING] * (4 + len(more))])
                continue
            runs, score = entry["runs"], Score(**entry["score"])
            shown = [Score(metric, "", score.scale, score.digits, score.unit).text(runs) for metric, _ in study.shown]
            rows.append([*job.label, f"{runs[0]['parameters']:,}", _text(entry), *shown, *_seconds(runs)])
        part = f"## {study.title}\n\n{study.text} {study.n_seeds} seeds; mean and standard deviation.\n\n"
        part += table([*study.columns, "parameters", label, *more, "seconds", "CPU seconds"], rows)
        if entries:
            part += f"\n![{study.title}]({study.name}.png)\n"
            part += f"\n**What was seen.** {study.seen}\n" * bool(study.seen)
            part += f"\n```sh\n{_commands(study.script, entries)}\n```\n"
        parts.append(part)
    return "\n".join(parts)


def draw_task(path, entries):
    """Validation loss of every epoch, a line per model."""
    figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    runs = [run for entry in entries for run in entry["runs"]]
    plots.learning_curves(runs, "val_loss", label="validation loss", ax=ax)
    ax.set_yscale("log")
    _save(figure, path)


def draw_study(path, study, entries):
    """The score of every row over the first column: a line for each value of the second or each test metric more,
    where there are any.
    """
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    score = Score(**entries[0]["score"])
    lines = {}
    for entry in entries:
        first, *rest = entry["label"]
        values = [f"{column} {value}" for column, value in zip(study.columns[1:], rest, strict=True)]
        tests = [(score.metric, score.label), *((metric, f"at {name}") for metric, name in study.shown)]
        for metric, test in tests:
            legend = ", ".join([*values, test] if study.shown else values)
            shown = dataclasses.replace(score, metric=metric)
            lines.setdefault(legend, []).append((textwrap.fill(first, 12), *_interval(shown, entry["runs"])))
    for legend, points in lines.items():
        names, means, spreads = zip(*points, strict=True)
        ax.errorbar(names, means, spreads, marker="o", capsize=3, linestyle="-" if legend else "", label=legend)
    if len(entries) > 8 and len(lines) == 1:
        ax.tick_params(axis="x", labelrotation=45)
    if len(lines) > 1:
        ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    ax.set_xlabel(study.columns[0])
    ax.set_ylabel(f"{score.label}{score.unit and ', ' + score.unit.strip()}")
    _save(figure, path)


def _save(figure, path):
    records.write(path, lambda partial: figure.savefig(partial, dpi=90))
    plt.close(figure)


def _wins(entries):
    """Where the QRNN is ahead and where behind, in words."""
    qrnn = _entry(entries, ("qrnn",))
    if not qrnn:
        return ""
    verdicts = {"ahead": [], "behind": [], "overlapping": []}
    for entry in entries:
        if entry is not qrnn:
            verdict = compare(Score(**qrnn["score"]), qrnn["runs"], entry["runs"])
            verdicts[verdict].append(_model(entry["label"][0]))
    words = {"ahead": "ahead of", "behind": "behind", "overlapping": "not told apart from"}
    parts = [f"{words[verdict]} {_listed(names)}" for verdict, names in verdicts.items() if names]
    return f"**Where it wins and loses.** The QRNN is {'; '.join(parts)}." if parts else ""


def _entry(entries, label):
    return next((entry for entry in entries if tuple(entry["label"]) == tuple(label)), None)


def _cell(task, model, entries):
    if model not in task.models:
        return "-"
    entry = _entry(entries, (model,))
    return _text(entry) if entry else MISSING


def _text(entry):
    return Score(**entry["score"]).text(entry["runs"])


def _seconds(runs):
    return [f"{np.mean([run[name] for run in runs]):.1f}" for name in ("seconds", "cpu_seconds")]


def _size(units):
    if units is None:
        return ""
    return f"{units[0]} + adapter of {units[1]}" if isinstance(units, (list, tuple)) else str(units)


def _commands(script, entries):
    return "\n".join(f"python experiments/{script}.py {' '.join(entry['command'])}" for entry in entries)


def _versions(entries):
    versions = entries[0]["versions"]
    return "Run with " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."


def _model(name):
    names = {
        "qrnn": "QRNN",
        "qrnn-linear": "QRNN with a linear controller",
        "unitary": "unitary RNN",
        "rnn": "SimpleRNN",
    }
    return names.get(name, {"scornn": "scoRNN"}.get(name, name.upper()))


def _listed(words):
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _anchor(title):
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c == "-")


def write_pages(folder, found, tuning):
    """All pages and pictures; `found` as in `index`, `tuning` task -> model -> learning rate -> validation loss."""
    folder = pathlib.Path(folder)

    def write(name, text):
        records.write(folder / name, lambda partial: partial.write_text(text, "utf-8"))

    write("index.md", index(found))
    write("studies.md", studies_page(found))
    for task in plan.TASKS:
        entries = found.get(task.name, [])
        write(f"{task.name}.md", task_page(task, entries, tuning.get(task.name, {})))
        if entries:
            draw_task(folder / f"{task.name}.png", entries)
    for study in plan.STUDIES:
        if found.get(study.name):
            draw_study(folder / f"{study.name}.png", study, found[study.name])
