"""The closed loop against the layer itself."""

import dataclasses

import cirq
import cirq_google
import keras
import numpy as np
import pytest
from hw_oracles import Stub, fed_back, run, sequences, small_layer

import tfq_qrnn
from tfq_qrnn import hw

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
    sampler = Stub()
    result = run(model, x, sampler, SHOTS)
    np.testing.assert_allclose(result.outputs, model(x), atol=3 * CLOSE)
    assert sampler.calls == result.cost.jobs == 5  # at steps 2 and 3 there are sequences of two lengths
    np.testing.assert_allclose(result.exact, tfq_qrnn.trace(model, x).readouts, atol=1e-6)


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
    result = run(
        layer,
        x,
        sampler,
        SHOTS // 4,
        device="weber",
        mitigation=hw.Mitigation(decouple=True, gauges=2),
        points_per_job=np.int64(12),
    )
    assert sampler.calls == result.cost.jobs == 4  # two sequences and one, at each of two steps
    np.testing.assert_allclose(result.readouts, layer(x), atol=4 * CLOSE)  # twice the deviation, two steps


def test_stacked_layers_and_cells_and_both_directions():
    """One loop per cell, one after the other; each of the exact ones is what the model itself computes."""
    keras.utils.set_random_seed(0)
    x, inputs = sequences(2, 2), keras.Input((2, 3))
    cells = [tfq_qrnn.QRNNCell(2, observables=letters, controller=fed_back()) for letters in ("XYZ", "Z")]
    hidden = keras.layers.Dense(4, activation="tanh")(small_layer(2)(inputs))
    models = {
        "layers": keras.Model(inputs, keras.layers.Dense(2)(small_layer(1, features=4)(hidden))),
        "cells": keras.layers.RNN(cells, return_sequences=True),
        "directions": keras.layers.Bidirectional(small_layer(2, return_sequences=False)),
    }
    for name, model in models.items():
        want = keras.ops.convert_to_numpy(model(x))
        sampler = Stub()
        result = run(model, x, sampler, SHOTS)
        np.testing.assert_allclose(result.outputs, want, atol=6 * CLOSE, err_msg=name)  # two loops of two steps
        assert len(result.earlier) == 1
        assert sampler.calls == result.cost.jobs == 4
        if name == "cells":
            np.testing.assert_allclose(result.exact, want, atol=1e-5)  # float32
            assert result.earlier[0].readouts.shape == (2, 2, 6)
    plan = hw.plan(models["cells"], "weber", 2)
    assert repr(plan).count("NativeProgram") == 2
    with pytest.raises(ValueError, match="have one recurrent cell to be exported, but it has 2"):
        plan.export("nowhere")


def test_masked_stacks():
    """Keras freezes every cell of a stack at a masked step."""
    keras.utils.set_random_seed(1)
    x = sequences(2, 3)
    x[1, 1] = 0
    stack = keras.layers.RNN([tfq_qrnn.QRNNCell(1, controller=fed_back()) for _ in range(2)], return_sequences=True)
    model = keras.Sequential([keras.Input((3, 3)), keras.layers.Masking(), stack])
    np.testing.assert_allclose(exact_run(model, x).outputs, model(x), atol=4 * CLOSE)


def test_a_plan_is_a_value_that_runs_what_it_costs_and_exports(layer, tmp_path):
    plan = hw.plan(layer, "weber", 3, points_per_job=2, mitigation=hw.Mitigation(decouple=True))
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.n_timesteps = 4
    assert plan.rings == (plan.qubits,)
    assert repr(plan).startswith("Plan(3 time steps of NativeProgram(qubits q(")
    sampler = Stub()
    result = plan.run(sequences(2, 2), sampler, 10, progress=False)  # shorter sequences will do
    assert sampler.calls == result.cost.jobs == 6
    exported = hw.load(plan.export(tmp_path / "circuits"))
    assert exported.programs == tuple(plan.circuit(t) for t in (1, 2, 3))
    with pytest.raises(ValueError, match="`x` must have at most the plan's 3 time steps, but it has 4"):
        plan.run(sequences(1, 4), sampler, 10, progress=False)


def test_a_result_is_saved_and_loaded(layer, tmp_path):
    inputs = keras.Input((2, 3))
    line = cirq.LineQubit.range(2)
    observables = [*map(cirq.Z, line), *map(cirq.X, line), cirq.Y(line[0]), cirq.Z(line[0]) * cirq.Z(line[1])]
    read = small_layer(2, observables=observables)(inputs)
    model = keras.Model(inputs, {"a": read, "b": [keras.layers.Dense(2)(small_layer(1, features=6)(read))]})
    result = run(model, sequences(2, 2), Stub(), 20, mitigate_readout=True)
    again = hw.Result.load(result.save(tmp_path / "result.npz"))
    for one, other in ((result, again), (result.earlier[0], again.earlier[0])):
        for name in ("readouts", "standard_errors", "exact", "angles"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_array_equal(one.readout_errors.e1, other.readout_errors.e1)
        assert one.readout_errors.pairs.keys() == other.readout_errors.pairs.keys()
        assert one.readout_errors.shots.blocks == other.readout_errors.shots.blocks
        assert one.cost == other.cost
    np.testing.assert_array_equal(result.earlier[0].readout_errors.pairs[0, 1], np.eye(4))  # the stub reads rightly
    np.testing.assert_array_equal(result.outputs["b"][0], again.outputs["b"][0])
    assert repr(again) == repr(result)
    (tmp_path / "other.npz").write_bytes(b"nothing")
    for path in ("other.npz", "nowhere.npz"):
        with pytest.raises(ValueError, match=r"`path` must be a file that `Result.save` wrote"):
            hw.Result.load(tmp_path / path)
    with pytest.raises(ValueError, match=r"`path` must end in .npz"):
        result.save(tmp_path / "result")


class _LastOnly(cirq.Sampler):
    """The virtual engine for the longest circuits; random shots for all before."""

    def __init__(self, sampler, symbols):
        self.sampler, self.symbols, self.rng, self.sent = sampler, symbols, np.random.default_rng(0), 0

    def run_sweep(self, program, params, repetitions=1):
        if len(params.keys) >= self.symbols:
            self.sent += 1
            return self.sampler.run_sweep(program, params, repetitions)
        shots = [self.rng.integers(0, 2, (repetitions, 8), np.uint8) for _ in params]
        pairs = zip(params, shots, strict=True)
        return [cirq.ResultDict(params=point, measurements={"m": bits}) for point, bits in pairs]


@pytest.mark.parametrize(("steps", "last"), [(45, 1), pytest.param(100, 100, marks=pytest.mark.slow)])
def test_eight_qubits_and_a_hundred_steps_on_the_virtual_engine(steps, last):
    """3,200 symbols and more; with dicts in place of a Zip of Points, Google's message nests as deep."""
    layer = small_layer(8, observables="Z")
    plan = hw.plan(layer, "weber", steps)
    native = plan.replays[0].native
    symbols = len(native.half_turns(np.zeros((steps + 1 - last, native.program.n_angles))))
    assert symbols > 1400 or last == steps
    sampler = _LastOnly(hw.sampler("virtual", "weber", seed=0), symbols)
    result = plan.run(sequences(1, steps), sampler, 10, progress=False)
    assert sampler.sent == last
    assert result.readouts.shape == (1, steps, 8)


def test_models_that_cannot_run(layer):
    x = sequences(1, 2)
    mixed = keras.layers.RNN([keras.layers.LSTMCell(2), tfq_qrnn.QRNNCell(2)])
    twice = small_layer(2, features=6)
    inputs = keras.Input((2, 6))
    twice = keras.Model(inputs, twice(twice(inputs)))
    for model, message in (
        (mixed, "stack nothing but QRNNCells in an RNN, but it has <LSTMCell"),
        (keras.Sequential([keras.Input((2, 3)), keras.layers.LSTM(2)]), "contain a QRNN or an RNN .* contains none"),
        (small_layer(2, return_state=True), "neither take nor return a memory"),
        (tfq_qrnn.QRNN(2, stateful=True), "neither take nor return a memory"),
    ):
        with pytest.raises(ValueError, match=message):
            run(model, x, Stub(), 10)
    with pytest.raises(ValueError, match=r"call qrnn.* once, but it calls it 2 times"):
        run(twice, sequences(1, 2, features=6), Stub(), 10)
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


def test_progress_bar(layer, capsys):
    hw.run(layer, sequences(1, 2), Stub(), 10)
    assert "closed loop: 100%" in capsys.readouterr().err
