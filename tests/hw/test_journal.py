"""The journal of a run: against kills, damage, full disks, other runs and other samplers."""

import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import time

import cirq
import cirq_google
import keras
import numpy as np
import pytest
from hw_oracles import Stub, run, sequences, small_layer

from tfq_qrnn import hw
from tfq_qrnn.hw import journal as journals
from tfq_qrnn.hw.journal import Journal
from tfq_qrnn.hw.seeded_sampler import seeded_sampler_of


@pytest.fixture(scope="module")
def layer():
    """Two qubits; shared, since what costs is tracing."""
    return small_layer(2)


def records(path):
    return [json.loads(line)["record"] for line in path.read_text().splitlines()]


def _renamed(results):
    return [cirq.ResultDict(params=r.params, measurements={"other": r.measurements["m"]}) for r in results]


def _cropped(results):
    return [cirq.ResultDict(params=r.params, measurements={"m": r.measurements["m"][:, :1]}) for r in results]


def _tripled(results):
    return [cirq.ResultDict(params=r.params, measurements={"m": 3 * r.measurements["m"] + 2}) for r in results]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_renamed, "result 0 has the keys \\['other'\\]"),
        (_cropped, "result 0 has the shape \\(10, 1\\)"),
        (_tripled, "result 0 holds other numbers"),
        (lambda results: results[1:], "it returned 2 results"),
        (lambda results: None, "it returned NoneType"),
        (lambda results: ["a", "b", "c"], "result 0 is of type str"),
    ],
)
def test_samplers_that_return_something_else(change, message, layer, tmp_path):
    x, journal = sequences(1, 3), tmp_path / "journal"

    class Late(Stub):
        def __init__(self, at=3):
            super().__init__()
            self.at = at

        def run_sweep(self, program, params, repetitions=1):
            results = super().run_sweep(program, params, repetitions)
            return change(results) if self.calls == self.at else results

    with pytest.raises(ValueError, match=message) as error:
        run(layer, x, Late(), 10, journal=journal)
    assert "all before it is in the journal" in str(error.value)
    with pytest.raises(ValueError, match=message):
        run(layer, x, Late(at=1), 10, journal=journal)
    rejected = [record for record in records(journal) if "rejected" in record]  # both stay
    assert len(rejected) == 2
    assert all(record["results"] and record["reason"] in str(error.value) for record in rejected)
    good = Late(at=0)
    run(layer, x, good, 10, journal=journal)
    assert good.calls == 1  # two steps were kept


def test_a_journal_replays_without_the_sampler(layer, tmp_path):
    x, journal = sequences(2, 3), tmp_path / "journal"
    first = run(layer, x, Stub(seed=1), 50, journal=journal, mitigate_readout=True)
    again = Stub(seed=2)  # a journal knows a sampler of one's own by its type
    second = run(layer, x, again, 50, journal=journal, mitigate_readout=True)
    assert again.calls == 0
    np.testing.assert_array_equal(first.readouts, second.readouts)
    np.testing.assert_array_equal(first.standard_errors, second.standard_errors)
    lines = journal.read_text().splitlines()
    assert len(lines) == 1 + 1 + 3  # header, calibration, steps
    assert json.loads(lines[0])["record"]["repetitions"] == 50


def test_a_journal_of_another_run_is_refused(tmp_path):
    layer, x, journal = small_layer(2), sequences(2, 2), tmp_path / "journal"
    run(layer, x, Stub(), 10, journal=journal)
    before = journal.read_bytes()
    for other, difference in (
        ((small_layer(2, seed=1), x, Stub(), 10), "model"),
        ((layer, x + 1, Stub(), 10), "input"),
        ((layer, x, Stub(), 11), "repetitions"),
    ):
        with pytest.raises(ValueError, match=f"input, settings and sampler, but .* differs in {difference}:"):
            run(*other, journal=journal)
    with pytest.raises(ValueError, match="differs in circuit, places, qubits:"):
        run(layer, x, Stub(), 10, journal=journal, device="weber", qubits=cirq.GridQubit.rect(1, 2, 5, 3))
    assert journal.read_bytes() == before
    # the same model by another way: saved, loaded, inside a model
    layer.name = "other"
    model = keras.Sequential([keras.Input((2, 3)), layer])
    sampler = Stub()
    run(model, x, sampler, 10, journal=journal)
    assert sampler.calls == 0


def test_damaged_and_cut_journals(layer, tmp_path):
    x, journal = sequences(1, 4), tmp_path / "journal"
    whole = run(layer, x, Stub(), 10, journal=journal)
    content = journal.read_bytes()
    lines = content.splitlines(keepends=True)
    # Cut anywhere in the last line: it is dropped, and asked for again; cut at its end alone, nothing is lost.
    for cut, calls in ((1, 1), (len(lines[-1]) // 2, 1), (len(lines[-1]) - 1, 0)):
        journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:cut])
        sampler = Stub()
        result = run(layer, x, sampler, 10, journal=journal)
        assert sampler.calls == calls
        np.testing.assert_array_equal(result.readouts[:, :3], whole.readouts[:, :3])
        assert len(journal.read_bytes().splitlines()) == len(lines)
    # cut in the header: nothing was measured yet
    journal.write_bytes(lines[0][:20])
    sampler = Stub()
    run(layer, x, sampler, 10, journal=journal)
    assert sampler.calls == 4
    for damaged in (
        b"".join([*lines[:2], lines[2][:30] + b"#" + lines[2][31:], *lines[3:]]),
        b"".join([*lines[:2], b"\n", *lines[3:]]),
        b"".join([lines[0], *lines[1:3], b"[1, 2]\n", *lines[3:]]),
    ):
        journal.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"be a file that an earlier run wrote, but .* line [34] is damaged"):
            run(layer, x, Stub(), 10, journal=journal)
        assert journal.read_bytes() == damaged
    journal.write_bytes(b"".join([lines[0], lines[2], lines[1]]))  # each record says which job it is of
    sampler = Stub()
    run(layer, x, sampler, 10, journal=journal)
    assert sampler.calls == 2
    for changed, message in (
        ([lines[0], *lines[2:]], "was measured at other angles: a job before it is missing"),
        ([*lines, lines[-1]], "record 5 repeats job"),
        ([*lines, journals._line({"job": {"kind": "step", "step": 9}})], "which this run does not have"),
        ([*lines, journals._line({"what": 1})], "record 5 is of no kind that is known"),
    ):
        journal.write_bytes(b"".join(changed))
        with pytest.raises(ValueError, match=message):
            run(layer, x, Stub(seed=5), 10, journal=journal)
    for other in (lines[1], b"somebody's own text"):
        journal.write_bytes(other)
        with pytest.raises(ValueError, match="its first line is no header"):
            run(layer, x, Stub(), 10, journal=journal)
        assert journal.read_bytes() == other
    with pytest.raises(ValueError, match="be a file that can be written"):
        run(layer, x, Stub(), 10, journal=tmp_path / "nowhere" / "journal")


def test_two_runs_do_not_share_a_journal(layer, tmp_path):
    x, journal = sequences(1, 1), tmp_path / "journal"

    class Nested(Stub):
        def run_sweep(self, *arguments, **keywords):
            with pytest.raises(ValueError, match=r"another run has .* open"):
                run(layer, x, Stub(), 10, journal=journal)
            return super().run_sweep(*arguments, **keywords)

    run(layer, x, Nested(), 10, journal=journal)


def _keep_a_journal(path, calls):
    """Forty jobs, each of which says that it was measured."""

    def measure():
        with open(calls, "a") as file:
            file.write("call\n")
        time.sleep(0.002)
        return np.random.default_rng(calls.stat().st_size).integers(0, 2, (4, 50), np.uint8)

    jobs, shots = [{"step": step} for step in range(40)], []
    with Journal(path, {"what": 1}, jobs) as book:
        for job in jobs:
            bits = book.find(job, (4, 50))
            if bits is None:
                bits = measure()
                book.keep(job, bits)
            shots.append(bits)
    return shots


def test_a_journal_kept_by_a_process_that_is_killed(tmp_path):
    """At any moment, many times: a job is repeated only where the kill came between its return and its record."""
    journal, calls = tmp_path / "journal", tmp_path / "calls"
    kill_after, kills, recorded = np.random.default_rng(time.time_ns()), 0, 0
    processes = multiprocessing.get_context("fork")  # a new Python would take seconds to load TensorFlow
    while True:
        process = processes.Process(target=_keep_a_journal, args=(journal, calls))
        process.start()
        process.join(kill_after.uniform(0, 0.02 * (1 + kills)))  # longer each time: it ends on a busy machine, too
        process.kill()
        process.join()
        lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
        assert lines >= recorded  # what was written stays
        recorded = lines
        if process.exitcode == 0:
            break
        kills += 1
    assert recorded == 41
    assert kills > 0
    measured = calls.read_text().count("call")
    assert 40 <= measured <= 40 + kills
    replayed = _keep_a_journal(journal, calls)
    assert calls.read_text().count("call") == measured
    assert np.mean(replayed) == pytest.approx(0.5, abs=0.03)  # 8,000 bits: five standard deviations


KILLED = """
import sys
sys.path.insert(0, "tests/support")
from hw_oracles import Stub, run, sequences, small_layer

run(small_layer(2), sequences(2, 40), Stub(), 10, journal=sys.argv[1])
"""


@pytest.mark.slow
def test_a_killed_run_goes_on(layer, tmp_path):
    journal, root = tmp_path / "journal", pathlib.Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(journal)], cwd=root, env=environment)
    while not (journal.exists() and journal.stat().st_size > 2000) and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    recorded = journal.read_bytes().count(b"\n") - 1  # less the header
    sampler = Stub()
    result = run(layer, sequences(2, 40), sampler, 10, journal=journal)
    assert 0 < recorded < 40
    assert sampler.calls == 40 - recorded
    again = run(layer, sequences(2, 40), sampler, 10, journal=journal)
    assert sampler.calls == 40 - recorded
    np.testing.assert_array_equal(again.readouts, result.readouts)


@pytest.mark.parametrize("kind", ["simulator", "virtual", "noisy"])
@pytest.mark.filterwarnings("ignore:This calibration has no error of the CZ")
def test_a_resumed_seeded_run_gives_what_an_unbroken_one_gives(layer, tmp_path, kind):
    x, whole = sequences(2, 3), tmp_path / "whole"

    one = hw.sampler(kind, None if kind == "simulator" else "weber", seed=1)  # noise takes a second to make

    def sampler():
        seeded_sampler_of(one).calls = 0
        return one

    unbroken = run(layer, x, sampler(), 20, journal=whole, points_per_job=4)
    lines = whole.read_bytes().splitlines(keepends=True)
    for kept in (1, 2, 4):
        journal = tmp_path / str(kept)
        journal.write_bytes(b"".join(lines[:kept]))
        again = run(layer, x, sampler(), 20, journal=journal, points_per_job=4)
        np.testing.assert_array_equal(again.readouts, unbroken.readouts)
    other = run(layer, x, hw.sampler("simulator", seed=2), 20)
    assert np.abs(other.readouts - unbroken.readouts).max() > 0.1
    # a second run of one sampler has other shots; one that was stopped, its own
    one = hw.sampler("simulator", seed=1)
    first, second = (run(layer, x, one, 20).readouts for _ in range(2))
    assert np.abs(first - second).max() > 0.1


def test_a_journal_of_the_first_format_goes_on_but_not_where_shots_cost(layer, tmp_path):
    x, journal = sequences(1, 3), tmp_path / "journal"
    whole = run(layer, x, Stub(), 10, journal=journal)
    header, *jobs = records(journal)
    header["format"] = "tfq_qrnn journal 1"
    header = {name: value for name, value in header.items() if name not in ("run", "started", "sampler", "places")}
    jobs = [{name: record[name] for name in ("job", "shape", "bits")} for record in jobs]
    journal.write_bytes(b"".join(map(journals._line, [header, *jobs[:2]])))
    sampler = Stub()
    again = run(layer, x, sampler, 10, journal=journal)
    assert sampler.calls == 1
    np.testing.assert_array_equal(again.readouts[:, :2], whole.readouts[:, :2])
    with pytest.raises(ValueError, match="of an older format and does not name its sampler: give a new file"):
        run(layer, x, sampler, 10, journal=journal, paid=True, confirm=True)
    journal.write_bytes(b"".join(map(journals._line, [header, jobs[1]])))
    with pytest.raises(ValueError, match=r"record 1 is of job .*, and one before it is missing"):
        run(layer, x, sampler, 10, journal=journal)


def test_a_run_goes_on_where_it_began_whatever_the_calibration_of_the_day(layer, tmp_path):
    """The calibration of a processor changes between the two; the qubits of the journal stay."""
    x, journal = sequences(1, 2), tmp_path / "journal"
    sampler = hw.sampler("virtual", "weber", seed=0)
    run(layer, x, sampler, 10, journal=journal)
    places = records(journal)[0]["qubits"]
    metrics = {
        name: {target: [1 - float(values[0])] for target, values in metric.items()}
        for name, metric in hw.load_calibration("weber").items()
    }
    sampler.processor.get_current_calibration = lambda: cirq_google.Calibration(metrics=metrics)
    run(layer, x, sampler, 10, journal=tmp_path / "other")
    assert records(tmp_path / "other")[0]["qubits"] != places
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:2]))
    run(layer, x, sampler, 10, journal=journal)
    assert len(records(journal)) == 3
