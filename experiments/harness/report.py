"""Tables and pictures of docs/results, and the table of the README, from records alone; the words are in the pages."""

import dataclasses
import pathlib
import re
import sys
import textwrap

import matplotlib.pyplot as plt
import numpy as np

from experiments import plan
from experiments.harness import plots, records
from experiments.harness.experiment import Score
from tfq_qrnn._files import replacing

MISSING = "not run yet"


def compare(score, runs, others):
    """ "ahead", "behind" or "overlapping": intervals of one standard deviation about the means."""
    (mean, spread), (other, other_spread) = (_interval(score, part) for part in (runs, others))
    if np.isnan(mean) or np.isnan(other):
        return "overlapping" if np.isnan(mean) and np.isnan(other) else "behind" if np.isnan(mean) else "ahead"
    if abs(mean - other) <= spread + other_spread:
        return "overlapping"
    return "ahead" if (mean > other) == score.greater_is_better else "behind"


def _interval(score, runs):
    values = np.array(score.values(runs))
    return values.mean(), values.std(ddof=1) if len(values) > 1 else 0.0


def table(head, rows):
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def scores(found):
    """All tasks and models. The best score of a row stands in bold, and what is not clearly different from it.

    Args:
        found: Name of a task or study -> its entries, what `results.collect` gives: a list of dicts with label,
            command, score, data, versions and runs.
    """
    rows = []
    for task in plan.TASKS:
        entries = found.get(task.name, [])
        label = _label(entries[0]["score"]) if entries else ""
        best = _best(entries)
        cells = []
        for model in plan.MODELS:
            entry = _entry(entries, (model,))
            if entry is None:
                cells.append(MISSING if model in task.models else "-")
            else:
                is_level = compare(Score(**entry["score"]), entry["runs"], best["runs"]) == "overlapping"
                cells.append(f"**{_text(entry)}**" if is_level else _text(entry))
        rows.append([f"[{task.title}]({task.name}.md)", label, *cells])
    return table(["task", "score", *map(_model, plan.MODELS)], rows)


def _best(entries):
    """The entry with the best mean score, or None; a mean that is not a number is the worst."""

    def worth(entry):
        score = Score(**entry["score"])
        mean, _ = _interval(score, entry["runs"])
        return -np.inf if np.isnan(mean) else mean if score.greater_is_better else -mean

    return max(entries, key=worth, default=None)


def _label(score):
    return score["label"] if score["greater_is_better"] else f"{score['label']} (less is better)"


def summary(found, folder=""):
    """The QRNN beside the LSTM and the best of all others, a line per task; the links lead to pages in `folder`.

    A dagger marks a task whose models are not tuned alike.
    """
    rows = []
    for task in plan.TASKS:
        entries = found.get(task.name, [])
        qrnn, lstm = (_entry(entries, (model,)) for model in ("qrnn", "lstm"))
        others = [entry for entry in entries if entry is not qrnn]
        best = _best(others)
        rows.append(
            [
                f"[{task.title}]({folder}{task.name}.md){'' if task.n_tuning_seeds > 1 else ' †'}",
                _label(entries[0]["score"]) if entries else "",
                *(_text(entry) if entry else MISSING for entry in (qrnn, lstm)),
                f"{_model(best['label'][0])} {_text(best)}{', the only one' * (len(others) == 1)}" if best else MISSING,
                compare(Score(**qrnn["score"]), qrnn["runs"], best["runs"]) if qrnn and best else MISSING,
            ]
        )
    return table(["task", "score", "QRNN", "LSTM", "best of the others", "beside the best, the QRNN is"], rows)


def task_results(task, entries, tuning):
    """The table of a task, with what it was made of and what it comes to."""
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
    text = table(columns, rows)
    if entries:
        data = entries[0]["data"]
        cores = sorted({run["cores"] for entry in entries for run in entry["runs"]})
        seeds = {len(entry["runs"]) for entry in entries}
        text = (
            f"Set: {data['name']}. Licence: {data['licence']}.\n\n{text}\n"
            f"Mean and standard deviation over {_listed(map(str, sorted(seeds)))} seeds; seconds of one training on "
            f"{_listed(map(str, cores))} cores, which had other work, too, so that they compare nothing; "
            "[benchmarks](../benchmarks.md) do.\n\n"
            f"{_wins(entries)}\n\n"
            f"![Validation loss of every epoch]({task.name}.png)\n"
        )
    return text


def study_results(study, entries):
    """The table of a study, and its picture."""
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
    text = table([*study.columns, "parameters", label, *more, "seconds", "CPU seconds"], rows)
    return text + (f"\n![{study.title}]({study.name}.png)\n" if entries else "")


def draw_task(path, entries):
    """Validation loss of every epoch, a line per model."""
    figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    runs = [run for entry in entries for run in entry["runs"]]
    plots.learning_curves(runs, "val_loss", label="validation loss", ax=ax)
    ax.set_yscale("log")
    _save(figure, path)


def draw_all(path, found):
    """A panel for each task with every training of every model, and their mean; better is to the right. A training that
    ended in nan is a cross at the left edge.
    """
    tasks = [task for task in plan.TASKS if found.get(task.name)]
    columns = min(4, len(tasks))
    rows = -(-len(tasks) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.2 * columns + 1, 2.4 * rows), layout="constrained", sharey=True, squeeze=False
    )
    heights = {model: -index for index, model in enumerate(plan.MODELS)}
    for ax, task in zip(axes.flat, tasks, strict=False):
        for entry in found[task.name]:
            score, (model,) = Score(**entry["score"]), entry["label"]
            values = score.values(entry["runs"])
            color, height = "C3" if model == "qrnn" else "0.3", heights[model]
            ax.plot(values, [height] * len(values), "o", color=color, alpha=0.4, markeredgewidth=0)
            ax.plot(np.mean(values), height, "|", color=color, markersize=14, markeredgewidth=2)
            if np.isnan(values).any():
                ax.plot(0.02, height, "x", color=color, transform=ax.get_yaxis_transform())
        if not score.greater_is_better:
            ax.invert_xaxis()
        ax.set_title(task.title, fontsize="medium")
        ax.set_xlabel(score.axis_label(), fontsize="small")
        ax.set_yticks([*heights.values()], [_model(model) for model in heights])
        ax.grid(axis="x", alpha=0.3)
    for spare in axes.flat[len(tasks) :]:
        spare.set_visible(False)
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
    ax.set_ylabel(score.axis_label())
    _save(figure, path)


def _save(figure, path):
    with replacing(path) as partial:
        figure.savefig(partial, dpi=90)
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
    words = {"ahead": "ahead of", "behind": "behind", "overlapping": "not clearly different from"}
    parts = [f"{words[verdict]} {_listed(names)}" for verdict, names in verdicts.items() if names]
    return f"**Where it wins and loses.** The QRNN is {'; '.join(parts)}." if parts else ""


def _entry(entries, label):
    return next((entry for entry in entries if tuple(entry["label"]) == tuple(label)), None)


def _text(entry):
    return Score(**entry["score"]).text(entry["runs"])


def _seconds(runs):
    return [f"{np.mean([run[name] for run in runs]):.1f}" for name in ("seconds", "cpu_seconds")]


def _size(units):
    if units is None:
        return ""
    return f"{units[0]} + adapter of {units[1]}" if isinstance(units, (list, tuple)) else str(units)


def _commands(script, entries):
    if not entries:
        return f"{MISSING}\n"
    lines = "\n".join(_wrapped(f"python -m experiments.{script} {' '.join(entry['command'])}") for entry in entries)
    return f"```sh\n{lines}\n```\n"


def _wrapped(command):
    """A command in lines of whole options that the site shows without a scroll bar."""
    first, *options = re.split(" (?=--)", command)
    lines = [first]
    for option in options:
        if len(lines[-1]) + 1 + len(option) <= 83:
            lines[-1] += f" {option}"
        else:
            lines.append(f"    {option}")
    return " \\\n".join(lines)


def _versions(entries):
    if not entries:
        return ""
    return "\nRun with " + ", ".join(f"{name} {version}" for name, version in entries[0]["versions"].items()) + ".\n"


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


def fill(path, parts):
    """Put each of some parts between its two marks in a Markdown file, and leave the rest as it is.

    Args:
        path: The file.
        parts: Name -> text; the marks are lines "<!-- NAME:start -->" and "<!-- NAME:end -->".
    """
    text = pathlib.Path(path).read_text("utf-8")
    for name, part in parts.items():
        start, end = (f"<!-- {name}:{mark} -->\n" for mark in ("start", "end"))
        if not (text.count(start) == text.count(end) == 1 and text.index(start) < text.index(end)):
            sys.exit(f"{path} must have the lines {start.strip()} and {end.strip()}, once each, where {name} belong.")
        before, rest = text.split(start)
        text = f"{before}{start}\n{part}\n{end}{rest.split(end)[1]}"
    records.write_text(path, text)


def write_pages(folder, readme, found, tuning):
    """The tables of all pages and of the README, and the pictures.

    Args:
        folder: The folder of the pages.
        readme: The README.
        found: As in `scores`.
        tuning: Task -> model -> learning rate -> validation loss.
    """
    folder = pathlib.Path(folder)
    fill(readme, {"results": summary(found, "docs/results/")})
    fill(folder / "index.md", {"results": scores(found)})
    if any(found.get(task.name) for task in plan.TASKS):
        draw_all(folder / "all.png", found)
    for task in plan.TASKS:
        entries = found.get(task.name, [])
        parts = {
            "results": task_results(task, entries, tuning.get(task.name, {})),
            "commands": _commands(task.script, entries) + _versions(entries),
        }
        fill(folder / f"{task.name}.md", parts)
        if entries:
            draw_task(folder / f"{task.name}.png", entries)
    parts = {}
    for study in plan.STUDIES:
        entries = found.get(study.name, [])
        parts |= {study.name: study_results(study, entries), f"{study.name} commands": _commands(study.script, entries)}
        if entries:
            draw_study(folder / f"{study.name}.png", study, entries)
    fill(folder / "studies.md", parts)
