"""The closed loop against the layer itself, and its journal against kills, damage and other runs."""

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
from hw_oracles import Stub, fed_back, run, sequences, small_layer

import tfq_qrnn
from tfq_qrnn import hw
from tfq_qrnn.hw.journal import Journal

SHOTS = 250_000  # with so many, readouts are exact to 1e-2: five standard deviations of 2e-3
CLOSE = 1e-2


@pytest.fixture(scope="module")
def layer():
    """Two qubits; shared, since what costs is tracing."""
    return small_layer(2)


def exact_run(layer, x, **arguments):
    return run(layer, x, Stub(), SHOTS, **arguments)


def test_readouts_angles_and_outputs_are_the_layers(layer):
    x = sequences(2, 3)
    result = exact_run(layer, x)
    # float32, and the simulated loop is the layer's own to rounding
    np.testing.assert_allclose(result.exact, layer(x), atol=1e-5)
    # An error of 2e-3 in a readout moves the angles after it; three steps of these weights magnify it some three times.
    np.testing.assert_allclose(result.readouts, layer(x), atol=3 * CLOSE)
    np.testing.assert_allclose(result.angles, tfq_qrnn.trace(layer, x).angles, atol=6 * CLOSE)
    np.testing.assert_array_equal(result.outputs, result.readouts.astype(np.float32))
    assert result.standard_errors.shape == (2, 3, 6)
    assert repr(result).startswith("Result(2 sequences, 3 time steps, 6 observables, rms error 0.0")


def test_standard_errors_are_those_of_the_first_step():
    """Before feedback errors are those of the shots: their ratio to the standard errors has rms 1.

    Near the ends of the range standard errors are greater on purpose: these are left out.
    """
    layer, x = small_layer(4), sequences(40, 1)
    for arguments in ({}, {"mitigate_readout": True, "calibration_repetitions": 100_000}):
        result = run(layer, x, Stub(seed=3), 2000, **arguments)
        inner = np.abs(result.exact) < 0.9
        ratios = ((result.readouts - result.exact) / result.standard_errors)[inner]
        # the rms of N ratios is known to 1 / sqrt(2 N); five standard deviations
        assert np.sqrt(np.mean(ratios**2)) == pytest.approx(1, abs=5 / np.sqrt(2 * len(ratios)))


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_rnn_over_a_cell_and_directions(go_backwards, return_sequences):
    cell = tfq_qrnn.QRNNCell(2, controller=fed_back())
    layer = keras.layers.RNN(cell, go_backwards=go_backwards, return_sequences=return_sequences)
    x = sequences(1, 2)
    np.testing.assert_allclose(exact_run(layer, x).outputs, layer(x), atol=2 * CLOSE)  # two steps


@pytest.mark.parametrize("zero_output_for_mask", [False, True])
def test_masks(zero_output_for_mask):
    """Sequences with masked steps run shorter circuits."""
    x = sequences(3, 3)
    x[1, 0] = 0
    x[2, 1:] = 0
    inner = small_layer(2, zero_output_for_mask=zero_output_for_mask)
    model = keras.Sequential([keras.Input((3, 3)), keras.layers.Masking(), inner])
    result = exact_run(model, x)
    np.testing.assert_allclose(result.outputs, model(x), atol=3 * CLOSE)
    assert result.cost.jobs == 3


def test_a_step_masked_in_all_sequences_sends_no_job():
    x = sequences(2, 2)
    x[:, 0] = 0
    sampler = Stub()
    model = keras.Sequential([keras.Input((2, 3)), keras.layers.Masking(), small_layer(2)])
    run(model, x, sampler, 10)
    assert sampler.calls == 1


def test_functional_and_subclassed_models():
    inputs = keras.Input((2, 3))
    hidden = keras.layers.Dense(4, activation="tanh")(inputs)
    read = small_layer(2, features=4)(hidden)
    functional = keras.Model(inputs, [keras.layers.Dense(3)(read), keras.layers.GlobalAveragePooling1D()(hidden)])

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner, self.out = small_layer(2), keras.layers.Dense(2)

        def call(self, x):
            return self.out(self.inner(x))

    x = sequences(2, 2)
    outputs = exact_run(functional, x).outputs
    for got, want in zip(outputs, functional(x), strict=True):
        np.testing.assert_allclose(got, want, atol=4 * CLOSE)  # a Dense layer adds up several readouts
    model = Subclassed()
    np.testing.assert_allclose(exact_run(model, x).outputs, model(x), atol=4 * CLOSE)


def test_pauli_sums_as_observables():
    a, b, c = cirq.LineQubit.range(3)
    observables = [
        cirq.Z(a) * cirq.Z(b),
        cirq.X(a) * cirq.Y(c) - 0.5 * cirq.Z(b) + 0.25,
        cirq.X(c) * cirq.X(b),
        2 * cirq.Y(c),
    ]
    layer, x = small_layer(3, observables=observables), sequences(1, 2)
    result = exact_run(layer, x, device="weber")
    np.testing.assert_allclose(result.readouts, layer(x), atol=4 * CLOSE)  # coefficients up to 2, two steps


def test_first_readouts_may_be_given():
    layer, x = small_layer(2), sequences(1, 1)
    start = keras.Input((6,)), keras.Input((8,))
    inputs = keras.Input((1, 3))
    model = keras.Model([inputs, *start], layer(inputs, initial_state=list(start)))
    given = [x, np.full((1, 6), 0.5, "float32"), np.zeros((1, 8), "float32")]
    np.testing.assert_allclose(exact_run(model, given).outputs, model(given), atol=CLOSE)
    given[2] = np.full((1, 8), 8**-0.5, "float32")
    with pytest.raises(ValueError, match=r"start at .0...0>"):
        exact_run(model, given)


@pytest.mark.parametrize(
    "arguments",
    [
        lambda: {"dtype": "float64"},
        lambda: {"trainable_circuit": tfq_qrnn.HardwareEfficient(2, 1)},
        pytest.param(lambda: {"backend": tfq_qrnn.backends.TFQ(max_timesteps=2)}, marks=pytest.mark.tfq),
    ],
    ids=["float64", "trained circuit", "TFQ"],
)
def test_other_dtypes_and_backends(arguments):
    layer, x = small_layer(2, **arguments()), sequences(1, 2)
    np.testing.assert_allclose(exact_run(layer, x).outputs, layer(x), atol=2 * CLOSE)


def test_suppression_and_small_jobs_change_nothing_but_the_number_of_jobs(layer):
    x = sequences(3, 2)
    sampler = Stub()
    result = run(layer, x, sampler, SHOTS // 4, device="weber", decouple=True, gauge_seed=1, points_per_job=np.int64(6))
    assert sampler.calls == result.cost.jobs == 4  # two sequences and one, at each of two steps
    np.testing.assert_allclose(result.readouts, layer(x), atol=4 * CLOSE)  # twice the deviation, two steps


def test_models_that_cannot_run(layer):
    x = sequences(1, 2)
    two = keras.Sequential([keras.Input((2, 3)), small_layer(2), small_layer(2, features=6)])
    for model, message in (
        (two, "contain exactly one QRNN"),
        (keras.Sequential([keras.Input((2, 3)), keras.layers.LSTM(2)]), "contain exactly one .* contains none"),
        (small_layer(2, return_state=True), "neither take nor return a memory"),
        (tfq_qrnn.QRNN(2, stateful=True), "neither take nor return a memory"),
    ):
        with pytest.raises(ValueError, match=message):
            run(model, x, Stub(), 10)
    with pytest.raises(ValueError, match="`x` must have shape"):
        run(layer, x[0], Stub(), 10)
    with pytest.raises(ValueError, match="`x` must give finite angles, but those of time step 1 are not all finite"):
        run(layer, x * np.nan, Stub(), 10)
    with pytest.raises(TypeError, match="`layer` must be a QRNN"):
        run(3, x, Stub(), 10)
    with pytest.raises(TypeError, match=r"`sampler` must be a cirq.Sampler"):
        run(layer, x, "simulator", 10)
    with pytest.raises(ValueError, match="`repetitions` must be an integer from 1 to 10000000"):
        run(layer, x, Stub(), 0)
    pair = cirq.GridQubit.rect(1, 2)
    small = cirq_google.GridDevice(cirq.GridDeviceMetadata([pair], gateset=cirq.Gateset(cirq.CZ)))
    with pytest.raises(ValueError, match="leave room for a chain on the device, which has 2 qubits, but it is 3"):
        run(small_layer(3), x, Stub(), 10, device=small)


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
        def run_sweep(self, program, params, repetitions=1):
            results = super().run_sweep(program, params, repetitions)
            return change(results) if self.calls == 3 else results

    with pytest.raises(ValueError, match=message) as error:
        run(layer, x, Late(), 10, journal=journal)
    assert "all before it is in the journal" in str(error.value)
    assert (tmp_path / "journal.rejected.json").exists()
    good = Stub()
    run(layer, x, good, 10, journal=journal)
    assert good.calls == 1  # two steps were kept


def test_a_journal_replays_without_the_sampler(layer, tmp_path):
    x, journal = sequences(2, 3), tmp_path / "journal"
    first = run(layer, x, Stub(seed=1), 50, journal=journal, mitigate_readout=True)
    again = Stub(seed=2)
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
        with pytest.raises(ValueError, match=f"same model, input and settings, but .* differs in {difference}:"):
            run(*other, journal=journal)
    with pytest.raises(ValueError, match="differs in circuit, qubits:"):
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
    journal.write_bytes(b"".join([lines[0], lines[2], lines[1]]))  # records in another order
    with pytest.raises(ValueError, match="record 1 is of job"):
        run(layer, x, Stub(), 10, journal=journal)
    journal.write_bytes(lines[1])
    with pytest.raises(ValueError, match="its first line is no header"):
        run(layer, x, Stub(), 10, journal=journal)
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

    with Journal(path, {"run": 1}) as book:
        return [book.job({"step": step}, (4, 50), measure) for step in range(40)]


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


def test_progress_bar(layer, capsys):
    hw.run(layer, sequences(1, 2), Stub(), 10)
    assert "closed loop: 100%" in capsys.readouterr().err
