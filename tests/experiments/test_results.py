"""What `make results` does: tunes on validation, runs what is missing, and writes pages of nothing but the records."""

import dataclasses
import json
import math
import shutil
import subprocess

import pytest

from experiments import plan, results
from experiments.harness import records, report
from experiments.harness.experiment import Score
from experiments.harness.jobs import TUNING_SEEDS, Job, Study, Task
from experiments.tasks import mnist

TASK = Task(
    "rows",
    "Digits",
    "tasks.mnist",
    ("qrnn", "lstm", "gru"),
    7,
    ("--limit", "24", "--qubits", "2", "--epochs", "1"),
    n_seeds=2,
)
STUDY = Study(
    "size",
    "Sizes",
    ("qubits", "depth"),
    tuple(((n, d), ("--qubits", n, "--depth", d)) for n in ("2", "3") for d in ("1", "2")),
    n_seeds=2,
    seconds=5,
)


def marks(*names):
    return "".join(f"<!-- {name}:start -->\nold\n<!-- {name}:end -->\n" for name in names)


@pytest.fixture
def tiny_plan(monkeypatch):
    monkeypatch.setattr(plan, "TASKS", (TASK,))
    monkeypatch.setattr(plan, "STUDIES", (STUDY,))
    monkeypatch.setattr(plan, "NAMES", ("rows", "size"))
    monkeypatch.setattr(plan, "MODELS", ("qrnn", "lstm", "gru", "rnn"))


@pytest.fixture
def arguments(tmp_path):
    (tmp_path / "docs").mkdir()
    for name, text in (
        ("README", "Before.\n" + marks("results") + "After.\n"),
        ("docs/index", marks("results")),
        ("docs/rows", "A card.\n" + marks("results") + "An end.\n" + marks("commands")),
        ("docs/studies", marks("size") + "More is more.\n" + marks("size commands")),
    ):
        (tmp_path / f"{name}.md").write_text(text)
    return [f"--{name}={tmp_path / file}" for name, file in (("out", "out"), ("docs", "docs"), ("readme", "README.md"))]


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures take most of the time, and are looked at elsewhere."""
    monkeypatch.setattr(report, "draw_all", lambda *_: None)
    monkeypatch.setattr(report, "draw_task", lambda *_: None)
    monkeypatch.setattr(report, "draw_study", lambda *_: None)


@pytest.fixture
def trained(tiny_plan, monkeypatch):
    """Trainings that write records of numbers we know; the jobs in the order in which they ran."""
    jobs = []
    best = {"qrnn": "0.01", "lstm": "0.03", "gru": "0.003"}
    accuracy = {"qrnn": (0.90, 0.92), "lstm": (0.80, 0.84), "gru": (0.91, 0.93)}

    def train(out, job):
        jobs.append(job)
        folder = out / job.folder
        settings = results.settings_of(job.script, job.command())
        if results.settings_in(folder) not in (None, settings):
            shutil.rmtree(folder)
        records.write_json(folder / "settings.json", {"task": job.script, **settings, "data": {}})
        rate = job.arguments[-1] if "--learning-rate" in job.arguments else None
        runs = []
        for seed in job.seeds:
            loss = 0.1 if rate == best[job.model] else 0.3
            # the test scores of the tuning are best where the validation loss is not: they must not be looked at
            test = accuracy[job.model][seed] if seed < 2 else 0.5 - loss
            metrics = [{"loss": 1.0, "val_loss": 0.05}, {"loss": 0.5, "val_loss": loss}]
            run = {
                "model": job.model,
                "seed": seed,
                "units": None,
                "cores": 2,
                "parameters": 1234,
                "seconds": 3.0,
                "cpu_seconds": 4.5,
            }
            runs.append({**run, "metrics": metrics, "test": {"accuracy": test}})
            records.write_json(folder / "runs" / f"{job.model}-{seed}" / "record.json", runs[-1])
        data = {"name": "digits", "licence": "free", "digests": {"test": "a"}}
        shared = {"score": Score().__dict__, "data": data, "versions": {"python": "3"}}
        records.write_json(folder / "record.json", {**shared, "runs": runs})

    monkeypatch.setattr(results, "train", train)
    return jobs


def test_tasks_are_tuned_on_validation_and_run_once(trained, undrawn, arguments, capsys):
    results.main([*arguments, "--dry-run"])
    # 3 models x (3 rates + 2 seeds) x 7 s; 4 sizes x 2 seeds x 5 s
    assert "15 runs, 2 min" in capsys.readouterr().out
    results.main([*arguments, "--only", "rows"])
    tuning = [job for job in trained if job.seeds == TUNING_SEEDS[:1]]
    final = [job for job in trained if job.seeds == (0, 1)]
    # three rates for each of three models, and one more where the best was at an end
    assert len(tuning) == 11
    rates = {model: [job.arguments[-1] for job in tuning if job.model == model] for model in plan.MODELS}
    assert rates["qrnn"] == ["0.003", "0.01", "0.03"]
    assert rates["lstm"] == ["0.003", "0.01", "0.03", "0.1"]
    assert rates["gru"] == ["0.003", "0.01", "0.03", "0.001"]
    assert {job.model: job.arguments[-1] for job in final} == {"qrnn": "0.01", "lstm": "0.03", "gru": "0.003"}
    assert len(trained) == 14
    results.main([*arguments, "--only", "rows"])
    assert len(trained) == 14  # nothing was left to do
    results.main([*arguments, "--only", "size"])
    assert [job.label for job in trained[14:]] == [label for label, _ in STUDY.variants]


def test_one_run_of_each_record_is_made_again_beside_it(trained, undrawn, arguments, capsys):
    results.main([*arguments, "--only", "rows"])
    before = len(trained)
    capsys.readouterr()
    results.main([*arguments, "--quick"])
    assert [(job.model, job.seeds, job.arguments[-1]) for job in trained[before:]] == [("qrnn", (0,), "0.01")]
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("| " + TASK.title))
    assert [cell.strip() for cell in row.split("|")[4:6]] == ["90.0 %", "90.0 %"]


def test_a_rate_at_which_one_of_several_tunings_breaks_is_not_taken(trained, tmp_path, monkeypatch):
    task = dataclasses.replace(TASK, n_tuning_seeds_of={"qrnn": 3})
    known = results.Known(task, tmp_path)
    for rate in (0.003, 0.01, 0.03):
        job = task.tuning_job("qrnn", rate)
        assert job.seeds == TUNING_SEEDS
        results.train(tmp_path, job)
        assert list(known.losses("qrnn")) == [0.003, 0.01, 0.03][: [0.003, 0.01, 0.03].index(rate) + 1]
    assert known.losses("qrnn")[0.01] == pytest.approx(0.1)  # the best of three
    broken = tmp_path / task.tuning_job("qrnn", 0.01).folder / "runs" / f"qrnn-{TUNING_SEEDS[2]}" / "record.json"
    record = results.records.read_json(broken)
    record["metrics"][-1]["val_loss"] = 2.0
    results.records.write_json(broken, record)
    losses = known.losses("qrnn")
    assert losses[0.01] == pytest.approx((0.1 + 0.1 + 2.0) / 3)
    assert results.best_rate(losses) != 0.01
    broken.unlink()
    assert 0.01 not in known.losses("qrnn")  # half a tuning tells nothing


def test_a_best_rate_at_an_end_asks_for_the_next():
    assert results.rates_to_try({}) == [0.003, 0.01, 0.03]
    assert results.rates_to_try({0.003: 3, 0.01: 1, 0.03: 2}) == []
    assert results.rates_to_try({0.003: 1, 0.01: 2, 0.03: 3}) == [0.001]
    assert results.rates_to_try({0.001: 0.5, 0.003: 1, 0.01: 2, 0.03: 3}) == []
    assert results.rates_to_try({0.003: 3, 0.01: 2, 0.03: 1}) == [0.1]
    # a training that ended in nan is no best one, wherever it stands
    assert results.best_rate({0.003: math.nan, 0.01: 2, 0.03: 1, 0.1: math.nan}) == 0.03


def test_pages_say_what_the_records_say(trained, arguments, tmp_path):
    results.main([*arguments, "--render"])
    docs = tmp_path / "docs"
    assert (docs / "index.md").read_text().count(report.MISSING) == 3
    assert (tmp_path / "README.md").read_text().count(report.MISSING) == 4  # two models, the best other, a verdict
    assert not list(docs.glob("*.png"))
    results.main(arguments)
    index, card, studies = ((docs / name).read_text() for name in ("index.md", "rows.md", "studies.md"))
    assert report.MISSING not in index + card + studies
    assert "| task | score | QRNN | LSTM | GRU | SimpleRNN |" in index
    # the GRU is best, the QRNN not clearly different from it; the task leaves the SimpleRNN out
    assert "| [Digits](rows.md) | test accuracy | **91.0 ± 1.4 %** | 82.0 ± 2.8 % | **92.0 ± 1.4 %** | - |" in index
    assert "SimpleRNN" not in card
    scores = "91.0 ± 1.4 % | 82.0 ± 2.8 % | GRU 92.0 ± 1.4 %"
    readme = (tmp_path / "README.md").read_text()
    assert readme.startswith("Before.\n")
    assert readme.endswith("After.\n")
    assert "old" not in readme
    assert f"| [Digits](docs/results/rows.md) † | test accuracy | {scores} | overlapping |\n" in readme
    assert card.startswith("A card.\n<!-- results:start -->\n\nSet: digits. Licence: free.\n")
    assert "<!-- results:end -->\nAn end.\n" in card
    assert "The QRNN is ahead of LSTM; not clearly different from GRU." in card
    losses = "0.003: 0.3000, 0.01: 0.3000, 0.03: 0.1000, 0.1: 0.3000"
    assert f"| LSTM | 1,234 |  | 82.0 ± 2.8 % | 3.0 | 4.5 | {losses} | 0.03 |" in card
    assert (
        "python -m experiments.tasks.mnist --model lstm --limit 24 --qubits 2 --epochs 1 \\\n"
        "    --learning-rate 0.03 --seed 0 1\n" in card
    )
    assert "| 3 | 2 | 1,234 | 91.0 ± 1.4 % | 3.0 | 4.5 |" in studies
    assert "<!-- size:end -->\nMore is more.\n" in studies
    assert {path.name for path in docs.glob("*.png")} == {"all.png", "rows.png", "size.png"}
    # without the runs, the records that were kept give the same pages
    before = {path.name: path.read_text() for path in docs.glob("*.md")}
    results.main([*arguments, "--out", str(tmp_path / "none"), "--render"])
    assert {path.name: path.read_text() for path in docs.glob("*.md")} == before


def test_a_result_of_a_rate_that_tuning_went_beyond_is_dropped(trained, undrawn, arguments, tmp_path):
    results.main([*arguments, "--only", "rows"])
    path = tmp_path / "docs" / "records" / "rows.json"
    found = records.read_json(path)
    found["tuning"]["lstm"] = found["tuning"]["lstm"] | {"0.1": 0.05}
    records.write_json(path, found)
    results.main([*arguments, "--out", str(tmp_path / "none"), "--render"])
    page = (tmp_path / "docs" / "index.md").read_text()
    assert "| test accuracy | **91.0 ± 1.4 %** | not run yet |" in page


def test_what_the_records_tell_is_not_trained_again(trained, undrawn, arguments, tmp_path, monkeypatch, capsys):
    results.main(arguments)
    before = {path.name: path.read_text() for path in (tmp_path / "docs").glob("*.md")}
    trained.clear()
    keep = [*arguments, "--out", str(tmp_path / "none"), "--keep"]
    results.main([*keep, "--dry-run"])
    assert "in all about nothing to do" in capsys.readouterr().out
    results.main(keep)
    assert trained == []
    assert {path.name: path.read_text() for path in (tmp_path / "docs").glob("*.md")} == before
    # what they lack is trained, beside the losses of the tuning that they tell
    path = tmp_path / "docs" / "records" / "rows.json"
    found = records.read_json(path)
    del found["tuning"]["lstm"]["0.03"]
    found["entries"] = [entry for entry in found["entries"] if entry["label"] != ["lstm"]]
    records.write_json(path, found)
    results.main([*keep, "--dry-run"])
    assert "3 runs, 1 min" in capsys.readouterr().out  # 0.03, and then two seeds: 21 s
    results.main(keep)
    assert [(job.model, job.arguments[-1], len(job.seeds)) for job in trained] == [
        ("lstm", "0.03", 1),
        ("lstm", "0.03", 2),
    ]
    assert {path.name: path.read_text() for path in (tmp_path / "docs").glob("*.md")} == before
    # records of other arguments tell nothing, neither losses nor results
    trained.clear()
    task = dataclasses.replace(TASK, arguments=(*TASK.arguments, "--epochs", "3"))
    monkeypatch.setattr(plan, "TASKS", (task,))
    results.main([*arguments, "--out", str(tmp_path / "none"), "--render"])
    assert "| QRNN | not run yet |" in (tmp_path / "docs" / "rows.md").read_text()
    results.main([*arguments, "--out", str(tmp_path / "others"), "--keep", "--only", "rows"])
    assert len(trained) == 14


def test_results_of_other_data_are_not_beside_those_of_today(trained, undrawn, arguments, tmp_path):
    results.main([*arguments, "--only", "rows"])
    path = tmp_path / "docs" / "records" / "rows.json"
    found = records.read_json(path)
    for entry in found["entries"]:
        entry["data"]["digests"]["test"] = "b"
    records.write_json(path, found)
    shutil.rmtree(tmp_path / "out" / "rows" / "gru")
    results.main([*arguments, "--render"])
    kept = records.read_json(path)
    assert [entry["label"] for entry in kept["entries"]] == [["qrnn"], ["lstm"]]
    assert list(kept["tuning"]) == ["qrnn", "lstm"]
    path = tmp_path / "out" / "rows" / "lstm" / "0.03" / "record.json"
    record = records.read_json(path)
    record["data"]["digests"]["test"] = "b"
    records.write_json(path, record)
    with pytest.raises(SystemExit, match="has runs of different data"):
        results.main([*arguments, "--render"])


def test_an_option_that_is_new_and_off_changes_nothing(trained, undrawn, arguments, tmp_path):
    results.main(arguments)
    for path in (tmp_path / "out").rglob("settings.json"):
        settings = records.read_json(path)
        assert settings.pop("shots") is None
        records.write_json(path, settings)
    for path in (tmp_path / "docs" / "records").iterdir():
        text = path.read_text()
        assert '"shots": null,' in text
        path.write_text(text.replace('"shots": null,', ""))
    trained.clear()
    results.main(arguments)
    results.main([*arguments, "--out", str(tmp_path / "none"), "--keep"])
    assert trained == []


def test_a_script_that_changes_meanwhile_is_not_run_for_ever(trained, undrawn, arguments, monkeypatch):
    train = results.train

    def changed(out, job):
        train(out, job)
        records.write_json(out / job.folder / "settings.json", {"depth": 7})

    monkeypatch.setattr(results, "train", changed)
    with pytest.raises(SystemExit, match="was a script changed meanwhile"):
        results.main([*arguments, "--only", "size"])
    assert len(trained) == 4


def test_a_stop_before_the_record_of_all_runs(trained, undrawn, arguments, tmp_path):
    results.main([*arguments, "--only", "size"])
    trained.clear()
    (tmp_path / "out/studies/size/2_1/record.json").unlink()
    results.main([*arguments, "--only", "size"])
    assert [job.label for job in trained] == [("2", "1")]


def test_studies_of_other_models_are_left_alone(trained, undrawn, arguments):
    results.main([*arguments, "--only", "size", "--models", "lstm"])
    assert trained == []


@pytest.mark.parametrize("name", ["rows", "size"])
def test_records_of_other_defaults_tell_nothing(name, trained, undrawn, arguments, tmp_path, monkeypatch):
    results.main([*arguments, "--only", name])
    trained.clear()
    keep = [*arguments, "--out", str(tmp_path / "none"), "--keep", "--only", name]
    parse = mnist.parse_arguments

    def changed(given=None):
        options = parse(given)
        options.hidden = [64]
        return options

    results.main(keep)
    assert trained == []
    monkeypatch.setattr(mnist, "parse_arguments", changed)
    results.main(keep)
    # of a task the QRNN alone: its width says nothing of other models but their size, which is in their records
    assert len(trained) == 4
    # nor do the runs that they were of
    trained.clear()
    results.main([*arguments, "--only", name])
    assert len(trained) == {"rows": 14, "size": 4}[name]


def test_results_of_other_seeds_are_none_of_today(trained, undrawn, arguments, tmp_path, monkeypatch):
    results.main([*arguments, "--only", "rows"])
    monkeypatch.setattr(plan, "TASKS", (dataclasses.replace(TASK, first_seed=5),))
    results.main([*arguments, "--out", str(tmp_path / "none"), "--render"])
    assert "| QRNN | not run yet |" in (tmp_path / "docs" / "rows.md").read_text()


def test_half_a_tuning_does_not_mix_with_the_one_in_the_records(trained, undrawn, arguments, tmp_path):
    results.main([*arguments, "--only", "rows"])
    path = tmp_path / "docs" / "records" / "rows.json"
    found = records.read_json(path)
    found["tuning"]["lstm"] = {"0.003": 0.1, "0.01": 0.05, "0.03": 0.1}  # of another machine
    records.write_json(path, found)
    out = tmp_path / "half"
    for rate in (0.003, 0.03):
        results.train(out, TASK.tuning_job("lstm", rate))
    results.main([*arguments, "--out", str(out), "--render"])
    assert records.read_json(path)["tuning"]["lstm"] == found["tuning"]["lstm"]
    # a whole one replaces it, with its result
    results.main([*arguments, "--out", str(out), "--only", "rows", "--models", "lstm"])
    after = records.read_json(path)
    assert after["tuning"]["lstm"] == {"0.003": 0.3, "0.01": 0.3, "0.03": 0.1, "0.1": 0.3}
    assert [entry["command"][-4] for entry in after["entries"]] == ["0.01", "0.03", "0.003"]


def test_entries_of_a_study_are_known_by_their_models(trained, undrawn, arguments, tmp_path, monkeypatch):
    """Two rows of the same settings and seeds, one of them with another model."""
    variants = tuple(((name, "1"), ("--qubits", "2", "--depth", "1")) for name in ("a QRNN", "an LSTM"))
    study = dataclasses.replace(STUDY, variants=variants, model_of={("an LSTM", "1"): "lstm"})
    monkeypatch.setattr(plan, "STUDIES", (study,))
    keep = [*arguments, "--out", str(tmp_path / "none"), "--keep", "--only", "size"]
    results.main([*arguments, "--only", "size"])
    page = tmp_path / "docs" / "studies.md"
    before = page.read_text()
    assert "| a QRNN | 1 | 1,234 | 91.0 ± 1.4 % |" in before
    assert "| an LSTM | 1 | 1,234 | 82.0 ± 2.8 % |" in before
    results.main([*arguments, "--out", str(tmp_path / "none"), "--render"])
    assert page.read_text() == before
    path = tmp_path / "docs" / "records" / "size.json"
    found = records.read_json(path)
    records.write_json(path, {**found, "entries": found["entries"][:1]})
    trained.clear()
    results.main(keep)
    assert [job.model for job in trained] == ["lstm"]


def test_entries_of_a_study_are_known_by_their_commands(trained, undrawn, arguments, tmp_path, monkeypatch):
    keep = [*arguments, "--out", str(tmp_path / "none"), "--keep", "--only", "size"]
    results.main([*arguments, "--only", "size"])
    trained.clear()
    changed = ("2", "1"), ("--qubits", "2", "--depth", "1", "--epochs", "3")
    renamed = ("two", "two"), STUDY.variants[1][1]
    variants = (changed, renamed, *STUDY.variants[2:])
    monkeypatch.setattr(plan, "STUDIES", (dataclasses.replace(STUDY, variants=variants),))
    results.main(keep)
    assert [job.label for job in trained] == [("2", "1")]
    entries = records.read_json(tmp_path / "docs" / "records" / "size.json")["entries"]
    assert [tuple(entry["label"]) for entry in entries] == [label for label, _ in variants]


def test_old_runs_do_not_count_as_runs_of_a_new_command(tmp_path, monkeypatch):
    job = Job(("a",), "tasks.mnist", ("--epochs", "2"), "qrnn", (0,), "a", 1)
    records.write_json(tmp_path / "a" / "settings.json", results.settings_of("tasks.mnist", ["--epochs", "1"]))
    records.write_json(tmp_path / "a" / "runs" / "qrnn-0" / "record.json", {"seed": 0})

    def killed(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(results.subprocess, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        results.train(tmp_path, job)
    assert results.Known(TASK, tmp_path).missing(job) == [0]


@pytest.mark.parametrize(
    ("columns", "shown", "lines"),
    [
        (("qubits",), (), None),
        (("qubits", "depth"), (), ["depth 1", "depth 2"]),
        (("noise",), (("accuracy_10", "10 shots"),), ["test accuracy", "at 10 shots"]),
    ],
)
def test_a_study_draws_a_line_for_each_value_and_test(columns, shown, lines, monkeypatch, tmp_path):
    drawn = {}

    def look(figure, path):
        (ax,) = figure.axes
        drawn.update({c.get_label(): [y for _, y in c.lines[0].get_xydata()] for c in ax.containers})

    monkeypatch.setattr(report, "_save", look)
    runs = [{"test": {"accuracy": a, "accuracy_10": a - 0.2}} for a in (0.8, 0.9)]
    labels = [("2",), ("4",)] if len(columns) == 1 else [("2", "1"), ("2", "2"), ("4", "1"), ("4", "2")]
    entries = [{"label": label, "score": Score().__dict__, "runs": runs} for label in labels]
    study = dataclasses.replace(STUDY, columns=columns, shown=shown)
    report.draw_study(tmp_path / "picture.png", study, entries)
    assert lines is None or list(drawn) == lines
    assert len(drawn) == len(lines or [""])
    assert all(heights == pytest.approx([85, 85]) for name, heights in drawn.items() if name != "at 10 shots")
    if shown:
        assert drawn["at 10 shots"] == pytest.approx([65, 65])


def test_the_picture_of_all_tasks_has_every_training(monkeypatch, tiny_plan, tmp_path):
    losses = dataclasses.replace(TASK, name="losses")
    monkeypatch.setattr(plan, "TASKS", (TASK, losses, dataclasses.replace(TASK, name="never run")))
    values = {"qrnn": (0.8, 0.9), "lstm": (0.5, math.nan)}

    def entries(**score):
        runs = {model: [{"test": {"accuracy": value}} for value in given] for model, given in values.items()}
        return [{"label": [model], "score": Score(**score).__dict__, "runs": part} for model, part in runs.items()]

    drawn = []
    monkeypatch.setattr(report, "_save", lambda figure, path: drawn.extend(figure.axes))
    report.draw_all(tmp_path / "all.png", {"rows": entries(), "losses": entries(scale=1, greater_is_better=False)})
    accuracies, found_losses = drawn
    assert [text.get_text() for text in accuracies.get_yticklabels()] == ["QRNN", "LSTM", "GRU", "SimpleRNN"]
    dots = [list(line.get_xdata()) for line in accuracies.lines]
    assert dots[:2] == [pytest.approx([80, 90]), pytest.approx([85])]  # each training, and their mean
    assert accuracies.get_xlim()[0] < accuracies.get_xlim()[1]
    assert found_losses.get_xlim()[0] > found_losses.get_xlim()[1]  # the better is to the right
    crosses = [line for line in accuracies.lines if line.get_marker() == "x"]
    assert [line.get_ydata()[0] for line in crosses] == [-1]  # the LSTM, of which one training ended in nan


def test_the_best_of_a_row_is_no_training_that_ended_in_nan():
    def entry(model, *values):
        runs = [{"test": {"accuracy": value}} for value in values]
        return {"label": [model], "score": Score().__dict__, "runs": runs}

    assert report._best([entry("qrnn", math.nan, 0.9), entry("lstm", 0.5, 0.5)])["label"] == ["lstm"]
    assert report._best([]) is None


def test_intervals_that_touch_are_no_victory():
    def runs(*values):
        return [{"test": {"accuracy": value}} for value in values]

    score, loss = Score(), Score(greater_is_better=False)
    assert report.compare(score, runs(0.9, 0.92), runs(0.8, 0.82)) == "ahead"
    assert report.compare(loss, runs(0.9, 0.92), runs(0.8, 0.82)) == "behind"
    # deviations 0.0141 each: means must differ by more than 0.0283
    assert report.compare(score, runs(0.90, 0.92), runs(0.872, 0.892)) == "overlapping"
    assert report.compare(score, runs(0.90, 0.92), runs(0.871, 0.891)) == "ahead"
    nan = runs(0.9, float("nan"))
    assert report.compare(loss, nan, runs(0.5, 0.6)) == "behind"
    assert report.compare(loss, runs(0.5, 0.6), nan) == "ahead"
    assert report.compare(loss, nan, nan) == "overlapping"


def test_a_changed_plan_is_run_again(trained, undrawn, arguments, monkeypatch):
    arguments = [*arguments, "--only", "size"]
    results.main(arguments)
    changed = ("2", "1"), ("--qubits", "2", "--depth", "1", "--epochs", "3")
    monkeypatch.setattr(plan, "STUDIES", (dataclasses.replace(STUDY, variants=(changed, *STUDY.variants[1:])),))
    results.main(arguments)
    assert [job.arguments for job in trained[4:]] == [changed[1]]


@pytest.mark.slow
def test_a_job_runs_its_script(tmp_path):
    job = Job(("a",), "tasks.mnist", TASK.arguments, "qrnn", (0,), "a", 1)
    assert results.train(tmp_path, job) is None
    assert results.Known(TASK, tmp_path).missing(job) == []
    assert json.loads((tmp_path / "a" / "record.json").read_text())["score"]["metric"] == "accuracy"


def test_a_job_says_why_it_failed(tmp_path, monkeypatch):
    def run(command, stdout, **_):
        stdout.write("much\nArgument `--pixels` must divide 784 pixels.\n")
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    failure = results.train(tmp_path, Job(("b",), "tasks.mnist", ("--pixels", "5"), "qrnn", (0,), "b", 1))
    assert failure.startswith("-m experiments.tasks.mnist --model qrnn --pixels 5 --seed 0 --out")
    assert failure.endswith("ended with 1: Argument `--pixels` must divide 784 pixels.")


def test_a_page_without_its_marks_is_told(trained, undrawn, arguments, tmp_path):
    page = tmp_path / "docs" / "rows.md"
    page.write_text(page.read_text().replace("<!-- commands:end -->", ""))
    with pytest.raises(SystemExit, match=r"rows\.md must have the lines <!-- commands:start -->"):
        results.main([*arguments, "--render"])


def test_the_pages_are_those_of_the_plan():
    """Every task has its page, every study its section, and every page the marks of its tables."""
    docs = results.ROOT / "docs" / "results"
    for task in plan.TASKS:
        assert (docs / f"{task.name}.md").read_text().startswith(f"# {task.title}\n")
    studies, index = ((docs / name).read_text() for name in ("studies.md", "index.md"))
    for study in plan.STUDIES:
        assert f"## {study.title}\n" in studies
        assert f"- [{study.title}](studies.md#" in index


def test_the_plan_names_arguments_that_scripts_have():
    """Each command of the plan is one that its script takes, and no two of a study are the same training."""
    for study in plan.STUDIES:
        settings = [job.model + json.dumps(results.settings_of(job.script, job.command())) for job in study.jobs()]
        assert len(set(settings)) == len(settings)
    jobs = [task.job(model, 0.02, [0]) for task in plan.TASKS for model in plan.MODELS]
    for job in jobs:
        assert results.settings_of(job.script, job.command())["learning_rate"] == 0.02
    jobs += [job for study in plan.STUDIES for job in study.jobs()]
    assert len({job.folder for job in jobs}) == len(jobs)
