"""The study of remedies: each changes what its name says, and nothing else."""

import json

import cirq
import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments import plan
from experiments.studies import remedies

STEPS, FEATURES, CLASSES = 14, 4, 10


def built(remedy, seed=0):
    options = remedies.parse_arguments(["--remedy", remedy, "--qubits", "3", "--hidden", "8"])
    keras.utils.set_random_seed(seed)
    return remedies.build(options, STEPS, FEATURES, CLASSES)


def layer_of(model):
    return next(layer for layer in model.layers if isinstance(layer, keras.layers.RNN))


@pytest.fixture
def x():
    return tf.constant(np.random.default_rng(0).uniform(size=(5, STEPS, FEATURES)), tf.float32)


def norms_by_step(model, x):
    """The norm of the gradient in the input of each time step."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(model(x) ** 2)
    return np.linalg.norm(tape.gradient(loss, x), axis=(0, 2))


def test_the_plan_and_the_script_name_the_same_remedies():
    (study,) = (study for study in plan.STUDIES if study.name == "remedies")
    assert tuple(label for (label,), _ in study.variants) == remedies.REMEDIES


def test_truncation_stops_the_gradient_and_changes_no_output(x):
    whole, truncated = built("none"), built("truncated-7")
    np.testing.assert_allclose(whole(x), truncated(x), atol=2e-6)  # float32 over 14 steps
    before, after = norms_by_step(whole, x), norms_by_step(truncated, x)
    assert np.all(before > 0)
    assert np.all(after[:7] == 0)
    np.testing.assert_allclose(after[7:], before[7:], rtol=1e-3)


def test_an_open_gate_is_the_layer_as_it_is_and_a_shut_one_feeds_nothing_back(x):
    gated = built("gate")
    cell = layer_of(gated).cell
    plain = keras.layers.RNN(type(cell).__base__.from_config(cell.get_config()))
    plain.build(x.shape)
    plain.cell.controller.set_weights(cell.controller.get_weights())
    assert cell.controller.feedback_gain == 1
    kernel, bias = cell.gate.get_weights()
    np.testing.assert_array_equal(bias, -2)
    cell.gate.set_weights([0 * kernel, bias + 100])
    np.testing.assert_allclose(layer_of(gated)(x), plain(x), atol=1e-6)
    cell.gate.set_weights([0 * kernel, bias - 100])
    first = plain.cell.controller.kernels[0]
    first.assign(np.array(first) * (np.arange(first.shape[0]) < FEATURES)[:, None])
    np.testing.assert_allclose(layer_of(gated)(x), plain(x), atol=1e-6)


@pytest.mark.parametrize(("remedy", "factor"), [("slow-controller", 0.3), ("quick-controller", 3.0)])
def test_the_controller_has_a_rate_of_its_own(remedy, factor, x):
    def first_step(optimizer):
        model = built(remedy)
        before = [np.array(weight) for weight in model.trainable_weights]
        model.compile(optimizer, "sparse_categorical_crossentropy")
        model.train_on_batch(x, np.arange(5))
        steps = [np.array(w) - b for w, b in zip(model.trainable_weights, before, strict=True)]
        return steps, ["/controller/" in weight.path for weight in model.trainable_weights]

    plain, of_controller = first_step(keras.optimizers.Adam(0.01))
    grouped, _ = first_step(remedies.variants.GroupedAdam(0.01, controller_rate=remedies._CONTROLLER_RATES[remedy]))
    assert of_controller == [True] * 4 + [False] * 2
    for step, other, is_controller in zip(plain, grouped, of_controller, strict=True):
        # differences of weights of size 1 or so, in float32
        np.testing.assert_allclose(other, step * (factor if is_controller else 1), atol=3e-7)


def test_the_scales_are_spread_over_the_qubits():
    cell = layer_of(built("scales")).cell
    scales = dict(zip(cell.program.ansatz.symbols, np.array(cell.controller.scale), strict=True))
    wanted = [0.01, 0.03**0.5 * 0.1**0.5, 0.3]
    rotations = [op for op in cell.program.ansatz.circuit.all_operations() if cirq.is_parameterized(op)]
    assert len(rotations) == 12
    for rotation in rotations:
        (symbol,) = cirq.parameter_symbols(rotation)
        assert scales[symbol] == pytest.approx(wanted[rotation.qubits[0].x], rel=1e-6)


@pytest.mark.parametrize("remedy", ["mixing", "mixing-only", "frozen-mixing"])
def test_a_part_of_the_circuit_mixes_without_input(remedy, x):
    model = built(remedy)
    cell = layer_of(model).cell
    assert cell.trainable_circuit.n_angles == 6
    assert np.std(cell.circuit_angles) == pytest.approx(0.1, rel=0.5)  # six numbers
    assert not np.any(np.array(cell.circuit_angles) == np.array(layer_of(built(remedy, 1)).cell.circuit_angles))
    rotated = np.array(cell.controller.biases[-1]) * float(cell.controller.scale)
    assert np.any(rotated) == (remedy == "mixing")
    before = np.array(cell.circuit_angles)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(x, np.arange(5))
    assert np.all(np.array(cell.circuit_angles) != before) == (remedy != "frozen-mixing")


def test_the_scale_is_that_of_the_whole_sequence():
    for remedy in ("none", "truncated-28", "gate"):
        options = remedies.parse_arguments(["--remedy", remedy])
        scale = layer_of(remedies.build(options, 196, FEATURES, CLASSES)).cell.controller.scale
        assert float(scale) == pytest.approx(7 / 196)  # that of a piece of 28 steps would be 0.1


@pytest.mark.slow
def test_the_script_learns_and_records(tmp_path, capsys):
    small = ["--limit", "400", "--qubits", "4", "--hidden", "16", "--batch-size", "16", "--epochs", "4"]
    remedies.main([*small, "--remedy", "quick-controller", "--out", str(tmp_path)])
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["settings"]["remedy"] == "quick-controller"
    losses = [epoch["loss"] for epoch in record["metrics"]]
    assert losses[-1] < 0.96 * np.log(10)  # chance, which four epochs of a slice leave a little below
    assert "Argument `--model` must be qrnn" in _error(["--model", "lstm"], capsys)
    wrong = ["--remedy", "gate", "--feedback-gain", "1"]
    assert "`--feedback-gain` must be left out with `--remedy gate`" in _error(wrong, capsys)


def _error(given, capsys):
    with pytest.raises(SystemExit):
        remedies.parse_arguments(given)
    return capsys.readouterr().err
