"""QRNNCell and QRNN: the same numbers as a loop written by hand, as each other, and as finite differences."""

import contextlib
import inspect
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import cirq
import keras
import numpy as np
import pytest
import sympy
import tensorflow as tf
from oracles import CARRIED, differences, run_by_hand
from random_circuits import random_state, to_complex

from tfq_qrnn import QRNN, CircuitAnsatz, Controller, Drift, GateProgram, HardwareEfficient, QRNNCell, backends, pqc

QUBITS = cirq.LineQubit.range(3)
A, B = sympy.symbols("a b")
BATCH, STEPS, FEATURES = 5, 4, 2
X = np.random.default_rng(0).normal(size=(BATCH, STEPS, FEATURES))
# full, padded right, padded left, a hole inside, nothing valid
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]], bool)
OWN_CIRCUIT = cirq.Circuit(
    cirq.ry(A)(QUBITS[0]), cirq.FSimGate(B, 0.3)(*QUBITS[:2]), cirq.H(QUBITS[1]), cirq.CNOT(*QUBITS[:2]) ** A
)
OWN_OBSERVABLES = [cirq.Z(QUBITS[0]) * cirq.Z(QUBITS[1]), cirq.X(QUBITS[0]) - 0.5 * cirq.Y(QUBITS[1]) + 0.25]


def randomize(layer, seed=0, scale=1.0):
    """Weights that turn the qubits well away from |0...0>: the scale of the angles is set to `scale`."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        if weight.name == "angle_scale":
            weight.assign(np.broadcast_to(scale, weight.shape))
        else:
            weight.assign(rng.normal(size=weight.shape))
    return layer


def make(fused=True, shape=X.shape, n_qubits=2, scale=1.0, cell_seed=None, controller=(3,), **kwargs):
    """QRNN, or RNN of QRNNCell, with the same random weights; a dict is the arguments of a Controller."""
    controller = Controller(**controller) if isinstance(controller, dict) else controller
    kwargs = {"controller": controller, "dtype": "float64", "seed": cell_seed, **kwargs}
    if fused:
        layer = QRNN(n_qubits, **kwargs)
    else:
        names = {"return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask"}
        of_loop = {name: kwargs.pop(name) for name in names & set(kwargs)}
        layer = keras.layers.RNN(QRNNCell(n_qubits, **kwargs), dtype=kwargs["dtype"], **of_loop)
    layer.build(shape)
    return randomize(layer, scale=scale)


def random_initial_state(layer, batch=BATCH, seed=5):
    """Readouts need not belong to the memory: they are the numbers that are fed back."""
    readouts = np.random.default_rng(seed).uniform(-1, 1, (batch, layer.cell.output_size))
    return [readouts, random_state(layer.cell.n_qubits, batch, seed)]


def values_and_gradients(layer, x=X, initial_state=None, **call):
    """Every output; the gradients of a loss in all of them in the inputs, initial states and weights."""
    tensors = [tf.constant(x), *(tf.constant(state) for state in initial_state or ())]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = layer(tensors[0], initial_state=tensors[1:] or None, **call)
        loss = 0.0
        for i, output in enumerate(tf.nest.flatten(outputs)):
            loss += tf.reduce_sum(output * np.random.default_rng(i).normal(size=output.shape))
    gradients = tape.gradient(loss, [*tensors, *(weight.value for weight in layer.trainable_weights)])
    assert all(gradient is not None for gradient in gradients)
    return [np.asarray(value) for value in [*tf.nest.flatten(outputs), *gradients]]


class TestAgainstALoopWrittenByHand:
    @pytest.mark.parametrize("backend", CARRIED)
    @pytest.mark.parametrize("fused", [True, False])
    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"controller": ()},
            {"controller": {"hidden_units": (4, 3), "activation": "tanh"}},
            {"controller": {"hidden_units": (4, 3), "activation": "glu"}},
            {"controller": {"hidden_units": (4,), "activation": "relu", "use_bias": False}},
            {"controller": {"hidden_units": (3,), "activation": keras.activations.linear}},
            {"n_qubits": 1, "depth": 1},
            {"n_qubits": 3, "observables": "Z"},
            {"circuit": OWN_CIRCUIT, "observables": OWN_OBSERVABLES},
            {"circuit": CircuitAnsatz(OWN_CIRCUIT, ["b", "a"])},
            {"trainable_circuit": HardwareEfficient(2, depth=1, entangler="cnot")},
            {"circuit": OWN_CIRCUIT, "trainable_circuit": OWN_CIRCUIT},
        ],
        ids=lambda arguments: ", ".join(arguments) or "default",
    )
    def test_readouts_are_the_same(self, arguments, fused, backend):
        layer = make(fused, return_sequences=True, backend=backend, **arguments)
        expected = run_by_hand(layer, X)
        # 4 steps of about 20 gates in float64, where each step feeds the error of the one before back
        np.testing.assert_allclose(layer(X), expected, atol=1e-12)

    def test_a_scale_per_angle_multiplies_its_angle(self):
        scale = [0.1, -2.0, 0.5, 1.0, 0.0, 3.0, 0.7, 0.2]
        layer = make(return_sequences=True, controller={"angle_scale": scale}, scale=scale)
        assert layer.cell.controller.angle_scale == scale
        np.testing.assert_allclose(layer(X), run_by_hand(layer, X), atol=1e-12)

    def test_an_initial_state_is_where_it_starts(self):
        layer = make(return_sequences=True)
        state = random_initial_state(layer)
        np.testing.assert_allclose(
            layer(X, initial_state=state), run_by_hand(layer, X, initial_state=state), atol=1e-12
        )

    def test_the_trainable_circuit_is_the_concatenated_circuit_with_constant_angles(self):
        """By pqc on a program whose circuit is drawn by hand, the trained angles last."""
        trained = cirq.Circuit(cirq.rx(A)(QUBITS[0]), cirq.CNOT(*QUBITS[:2]), cirq.rz(B)(QUBITS[1]))
        layer = make(controller=(), n_qubits=2, depth=1, trainable_circuit=trained)
        c, d = sympy.symbols("c d")
        default = HardwareEfficient(2, depth=1, drift=Drift())
        both = default.circuit + cirq.resolve_parameters(trained, {A: c, B: d})
        program = GateProgram(both, symbols=[*default.symbols, c, d])
        x = X[:, :1]
        kernel, bias = (np.asarray(w[0]) for w in (layer.cell.controller.kernels, layer.cell.controller.biases))
        angles = np.concatenate([x[:, 0] @ kernel[:FEATURES] + bias, np.tile(layer.cell.circuit_angles, (BATCH, 1))], 1)
        _, expected = pqc(np.zeros((BATCH, 8)), angles, program)
        np.testing.assert_allclose(layer(x), expected, atol=1e-13)


FLOWS = {
    "default": {},
    "last output only, state too": {"return_state": True, "return_sequences": False},
    "all": {"return_state": True},
    "backwards": {"go_backwards": True, "return_state": True},
    "unrolled": {"unroll": True, "return_state": True},
    "zeros where masked": {"zero_output_for_mask": True, "return_state": True},
    "backwards, zeros where masked": {"zero_output_for_mask": True, "go_backwards": True},
    "last output only, zeros where masked": {"zero_output_for_mask": True, "return_sequences": False},
    "linear controller": {"controller": ()},
    "two hidden layers of glu": {"controller": {"hidden_units": (4, 3), "activation": "glu"}},
    "trained circuit and scale": {
        "trainable_circuit": HardwareEfficient(2, depth=1),
        "controller": {"hidden_units": (3,), "trainable_angle_scale": True},
        "return_state": True,
    },
    "own circuit": {"circuit": OWN_CIRCUIT, "observables": OWN_OBSERVABLES, "return_state": True},
}


@pytest.mark.parametrize("backend", CARRIED)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("flow", FLOWS)
def test_qrnn_is_rnn_of_the_cell_in_outputs_and_gradients(flow, masked, backend):
    results = []
    for fused in (True, False):
        layer = make(fused, backend=backend, **{"return_sequences": True, **FLOWS[flow]})
        call = {"mask": tf.constant(MASK)} if masked else {}
        results.append(values_and_gradients(layer, initial_state=random_initial_state(layer), **call))
    for fused, of_cell in zip(*results, strict=True):
        # The same float64 operations in another order, elementary functions good to a few units in the last place, and
        # a recurrence that amplifies both as it does the gradients: by their size, 60 at most.
        scale = max(1.0, np.abs(of_cell).max())
        np.testing.assert_allclose(fused / scale, of_cell / scale, atol=5e-12, rtol=0)


@pytest.mark.parametrize("masked", [False, True])
def test_a_graph_gives_the_gradients_of_eager_mode(masked):
    """With all shapes but the features unknown."""
    layers = [make(fused, return_sequences=True) for fused in (True, False)]
    expected = None
    for layer in layers:

        def gradients(x, mask, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(layer(x, mask=mask if masked else None) ** 3)
            return tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_weights)])

        signature = [tf.TensorSpec((None, None, FEATURES), tf.float64), tf.TensorSpec((None, None), tf.bool)]
        expected = expected or gradients(tf.constant(X), tf.constant(MASK))
        for value, other in zip(tf.function(gradients, input_signature=signature)(X, MASK), expected, strict=True):
            np.testing.assert_allclose(value, other, atol=1e-12)


@pytest.mark.parametrize("backend", CARRIED)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_finite_differences(masked, backend):
    """In the inputs, the initial readouts, the initial memory and every weight, one number at a time."""
    layer = make(
        controller={"hidden_units": (2,), "trainable_angle_scale": True},
        backend=backend,
        observables="ZX",
        depth=1,
        trainable_circuit=HardwareEfficient(2, depth=1, rotations=("rx",)),
        return_sequences=True,
        return_state=True,
    )
    mask = tf.constant(MASK) if masked else None
    tensors = [tf.constant(X), *map(tf.constant, random_initial_state(layer))]
    rng = np.random.default_rng(1)
    factors = [rng.normal(size=s) for s in ((BATCH, STEPS, 4), (BATCH, 4), (BATCH, 8))]

    @tf.function
    def loss(x, readouts, memory):
        outputs = layer(x, initial_state=[readouts, memory], mask=mask)
        return sum(tf.reduce_sum(f * output) for f, output in zip(factors, outputs, strict=True))

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = loss(*tensors)
    arrays = [tensor.numpy() for tensor in tensors]
    weights = layer.trainable_weights
    gradients = tape.gradient(value, [*tensors, *(weight.value for weight in weights)])
    for i in range(3):
        numeric = differences(lambda array, i=i: loss(*arrays[:i], array, *arrays[i + 1 :]), arrays[i])
        np.testing.assert_allclose(gradients[i], numeric, atol=1e-7, err_msg=f"argument {i}")
        assert np.abs(numeric).max() > 0.1
    for weight, gradient in zip(weights, gradients[3:], strict=True):
        start = weight.numpy()

        def of_weight(array, weight=weight):
            weight.assign(array)
            return loss(*tensors)

        numeric = differences(of_weight, start)
        weight.assign(start)
        # differences() is good to 1e-10 times third derivatives, which reach 100 for sums over all samples and steps
        np.testing.assert_allclose(gradient, numeric, atol=1e-7, err_msg=weight.name)
        assert np.abs(numeric).max() > 0.01


class TestStates:
    def test_the_state_returned_is_the_memory_with_its_readouts(self):
        layer = make(return_state=True)
        output, readouts, memory = layer(X)
        np.testing.assert_array_equal(output, readouts)
        np.testing.assert_allclose(np.linalg.norm(memory, axis=1), 1, atol=1e-13)
        # read out again by a circuit without gates
        idle = GateProgram(cirq.Circuit(cirq.I.on_each(*QUBITS[:2])))
        np.testing.assert_allclose(pqc(memory, np.zeros((BATCH, 0)), idle)[1], readouts, atol=1e-13)

    @pytest.mark.parametrize("fused", [True, False])
    def test_two_halves_are_the_whole(self, fused):
        layer = make(fused, return_sequences=True, return_state=True)
        whole, *end = layer(X)
        first, *middle = layer(X[:, :2])
        second, *last = layer(X[:, 2:], initial_state=middle)
        np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-14)
        for value, expected in zip(last, end, strict=True):
            np.testing.assert_allclose(value, expected, atol=1e-14)

    @pytest.mark.parametrize("fused", [True, False])
    def test_a_memory_of_zeros_is_the_ground_state(self, fused):
        layer = make(fused)
        zeros = [np.zeros((BATCH, 6)), np.zeros((BATCH, 8))]
        ground = [np.zeros((BATCH, 6)), np.tile(np.eye(1, 8), (BATCH, 1))]
        np.testing.assert_array_equal(layer(X, initial_state=zeros), layer(X))
        np.testing.assert_array_equal(layer(X, initial_state=ground), layer(X))
        np.testing.assert_array_equal(layer.cell.get_initial_state(BATCH)[1], ground[1])

    @pytest.mark.parametrize("fused", [True, False])
    def test_stateful_goes_on_where_it_stopped(self, fused):
        whole = make(fused, return_sequences=True)(X)
        layer = make(fused, return_sequences=True, stateful=True)
        halves = [layer(X[:, :2]), layer(X[:, 2:])]
        np.testing.assert_allclose(np.concatenate(halves, axis=1), whole, atol=1e-14)
        layer.reset_state()
        np.testing.assert_allclose(layer(X[:, :2]), halves[0], atol=1e-14)

    def test_reset_state_is_the_ground_state(self):
        layer = make(stateful=True)
        layer(X)
        layer.reset_state()
        readouts, memory = (state.numpy() for state in layer.states)
        np.testing.assert_array_equal(readouts, np.zeros((BATCH, 6)))
        np.testing.assert_array_equal(to_complex(memory), np.tile([1, 0, 0, 0], (BATCH, 1)))

    @pytest.mark.parametrize("fused", [True, False])
    def test_a_sequence_without_valid_steps_keeps_its_state_and_outputs_zeros(self, fused):
        """As Keras has it: outputs before the first valid step are zeros, whatever the initial state."""
        layer = make(fused, return_sequences=True, return_state=True)
        initial = random_initial_state(layer)
        outputs, readouts, memory = layer(X, initial_state=initial, mask=tf.constant(MASK))
        np.testing.assert_array_equal(outputs[4], np.zeros((STEPS, 6)))
        np.testing.assert_array_equal(readouts[4], initial[0][4])
        np.testing.assert_array_equal(memory[4], initial[1][4])


class TestDropout:
    def test_inference_has_none(self):
        expected = make()(X)
        for fused in (True, False):
            layer = make(fused, dropout=0.5, recurrent_dropout=0.5, cell_seed=1)
            np.testing.assert_allclose(layer(X), expected, atol=1e-14)
            assert np.abs(layer(X, training=True) - expected).max() > 1e-2

    def test_inputs_have_one_mask_for_all_steps(self):
        """The gradient in an input that is dropped is zero; the others count 1/(1 - 0.5)."""
        layer = make(dropout=0.5, cell_seed=3, return_sequences=True)
        x = tf.constant(X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=True)
            loss = tf.reduce_sum(outputs[:, -1] ** 2)
        kept = np.abs(tape.gradient(loss, x)) > 0
        assert 0 < kept[:, 0].sum() < kept[:, 0].size
        np.testing.assert_array_equal(kept, np.broadcast_to(kept[:, :1], kept.shape))
        np.testing.assert_allclose(outputs, run_by_hand(layer, X, input_mask=2.0 * kept[:, 0]), atol=1e-12)

    def test_readouts_have_one_mask_for_all_steps(self):
        """The mask is found from the gradient in the initial readouts and checked at every step."""
        layer = make(recurrent_dropout=0.5, cell_seed=3, return_sequences=True)
        state = random_initial_state(layer)
        readouts = tf.constant(state[0])
        with tf.GradientTape() as tape:
            tape.watch(readouts)
            outputs = layer(X, initial_state=[readouts, state[1]], training=True)
            loss = tf.reduce_sum(outputs[:, 0] ** 2)
        kept = np.abs(tape.gradient(loss, readouts)) > 0
        assert 0 < kept.sum() < kept.size
        expected = run_by_hand(layer, X, initial_state=state, readout_mask=2.0 * kept)
        np.testing.assert_allclose(outputs, expected, atol=1e-12)

    @pytest.mark.parametrize("masked", [False, True])
    def test_one_seed_gives_one_result_in_qrnn_and_rnn_of_the_cell(self, masked):
        call = {"training": True, **({"mask": tf.constant(MASK)} if masked else {})}
        results = []
        for fused in (True, True, False):
            layer = make(fused, dropout=0.4, recurrent_dropout=0.3, cell_seed=11, return_sequences=True)
            results.append([*values_and_gradients(layer, **call), layer(X, **call).numpy()])
        for first, again, of_cell in zip(*results, strict=True):
            np.testing.assert_array_equal(again, first)
            np.testing.assert_allclose(of_cell, first, atol=1e-11, rtol=1e-11)  # gradients of 100, by another way
        assert np.abs(results[0][-1] - results[0][0]).max() > 1e-3  # the next call draws other masks

    @pytest.mark.parametrize(("policy", "resolution"), [("mixed_float16", 2**-12), ("mixed_bfloat16", 2**-9)])
    @pytest.mark.parametrize("fused", [True, False])
    def test_works_in_half_precision(self, policy, resolution, fused):
        """The masks are drawn for inputs in half precision; the quantum part runs in float32."""
        layer = make(fused, dropout=0.5, cell_seed=11, dtype=policy, return_sequences=True)
        x = tf.cast(X, layer.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=True)
            loss = tf.reduce_sum(tf.cast(outputs, "float32")[:, 0] ** 2)
        kept = np.abs(np.asarray(tape.gradient(loss, x), "float64"))[:, 0] > 0
        assert 0 < kept.sum() < kept.size
        expected = run_by_hand(layer, np.asarray(x, "float64"), input_mask=2.0 * kept)
        # outputs of up to 1 are rounded once, by half a unit in the last place; float32 adds 1e-5
        np.testing.assert_allclose(np.asarray(outputs, "float64"), expected, atol=resolution + 1e-5)


class TestAngleScale:
    @pytest.mark.parametrize(
        ("timesteps", "scale"),
        [(1, 0.1), (70, 0.1), (196, 7 / 196), (784, 7 / 784), (None, 0.1)],
    )
    def test_auto_falls_as_the_number_of_steps_grows(self, timesteps, scale):
        layer = QRNN(1)
        layer.build((None, timesteps, 2))
        assert float(layer.cell.controller.scale) == pytest.approx(scale, rel=1e-6)

    def test_auto_of_a_cell_is_that_of_short_sequences(self):
        layer = keras.layers.RNN(QRNNCell(1))
        layer.build((None, 784, 2))
        assert float(layer.cell.controller.scale) == pytest.approx(0.1, rel=1e-6)

    def test_a_model_keeps_the_scale_it_was_built_with(self, tmp_path):
        """Built for 784 steps and applied to fewer, or loaded."""
        model = keras.Sequential([keras.Input((784, 1)), QRNN(1, depth=1)])
        model.save(tmp_path / "model.keras")
        scale = keras.models.load_model(tmp_path / "model.keras").layers[0].cell.controller.scale
        assert float(scale) == pytest.approx(7 / 784, rel=1e-6)

    @pytest.mark.parametrize("value", [0.25, [0.1, 0.2, 0.3, 0.4]])
    def test_is_a_number_or_one_per_angle_and_trained_on_request(self, value):
        for trainable in (False, True):
            layer = QRNN(1, controller=Controller((2,), angle_scale=value, trainable_angle_scale=trainable))
            layer.build((None, 3, 2))
            np.testing.assert_allclose(layer.cell.controller.scale, value, rtol=1e-7)
            assert len(layer.trainable_weights) == 4 + trainable
            assert len(layer.non_trainable_weights) == 1 - trainable


class TestFeedbackGain:
    @pytest.mark.parametrize("hidden_units", [(), (5,), (5, 4)])
    def test_scales_the_initial_weights_of_the_readouts_and_no_others(self, hidden_units):
        kernels = {}
        for gain in (1.0, 0.25, 0):
            initializer = keras.initializers.GlorotUniform(seed=3)
            controller = Controller(hidden_units, feedback_gain=gain, kernel_initializer=initializer)
            layer = QRNN(1, controller=controller, dtype="float64")
            layer.build((None, None, 2))
            kernels[gain] = [np.asarray(kernel) for kernel in layer.cell.controller.kernels]
        first = np.asarray(keras.initializers.GlorotUniform(seed=3)(kernels[1.0][0].shape, dtype="float64"))
        for gain, (kernel, *others) in kernels.items():
            np.testing.assert_allclose(kernel, first * np.array([[1], [1], *[[gain]] * 3]), rtol=1e-15)
            for other, same in zip(others, kernels[1.0][1:], strict=True):
                np.testing.assert_array_equal(other, same)

    def test_a_gain_of_zero_starts_without_feedback(self):
        """The memory then follows the inputs alone, whatever readouts come in; with a gain it does not."""
        memory = random_state(2, BATCH, seed=5)
        for gain, fed_back in ((0, False), (0.1, True)):
            keras.utils.set_random_seed(0)
            layer = QRNN(2, controller=Controller(feedback_gain=gain), dtype="float64")
            ends = [layer(X, initial_state=[np.full((BATCH, 6), value), memory]) for value in (0.0, 1.0)]
            assert (np.abs(ends[0] - ends[1]).max() > 1e-4) == fed_back


class TestInitialRotation:
    @staticmethod
    def angles_without_input(seed=None, **arguments):
        """Of 64 angles: biases are zero but for the rotation, so that zero input and readouts give it alone."""
        controller = Controller((4,), **arguments)
        layer = QRNN(8, depth=4, dtype="float64", controller=controller, seed=seed)
        layer.build((None, None, 2))
        return np.asarray(controller(np.zeros((1, 2 + layer.cell.output_size))))[0]

    def test_is_the_spread_of_the_angles_whatever_their_scale(self):
        angles = self.angles_without_input(seed=1, initial_rotation=0.3)
        # the standard deviation of 64 numbers is known to 1/sqrt(128), 9 %; four of these
        assert np.std(angles) == pytest.approx(0.3, rel=0.36)
        for scale in (0.02, np.geomspace(0.01, 1, 64)):
            same = self.angles_without_input(seed=1, initial_rotation=0.3, angle_scale=scale)
            np.testing.assert_allclose(same, angles, rtol=1e-12)
        other = self.angles_without_input(seed=2, initial_rotation=0.3)
        assert np.abs(other - angles).max() > 0.1

    def test_leaves_what_does_not_turn(self):
        np.testing.assert_array_equal(self.angles_without_input(initial_rotation=0), 0)
        np.testing.assert_array_equal(self.angles_without_input(initial_rotation=0.3, angle_scale=0.0), 0)
        np.testing.assert_array_equal(self.angles_without_input(initial_rotation=0.3, use_bias=False), 0)

    @pytest.mark.parametrize("widths", [(), (5,), (5, 3)])
    def test_none_is_no_bias_of_the_angles(self, widths, tmp_path):
        """Without it the layer is the one whose last bias is zero, on every path, and a shut gate is a zero angle."""
        layers = [
            QRNN(2, controller=Controller(widths, angle_scale=1.0, initial_rotation=r), seed=1) for r in (0, None)
        ]
        outputs = [layer(X) for layer in layers]
        with_bias, without = (layer.get_weights() for layer in layers)
        assert len(without) == len(with_bias) - 1
        layers[1].set_weights([w for w in with_bias if w.shape != (8,)])  # 2 qubits at depth 2 have 8 angles
        np.testing.assert_allclose(layers[1](X), layers[0](X), rtol=0, atol=1e-6)  # float32
        by_step = keras.layers.RNN(layers[1].cell)
        np.testing.assert_allclose(by_step(X), layers[0](X), rtol=0, atol=1e-5)
        assert np.abs(outputs[0]).max() > 0.1
        model = keras.Sequential([keras.Input(X.shape[1:]), layers[1]])
        model.save(tmp_path / "model.keras")
        np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(X), model(X))
        if widths:
            shut = QRNN(2, controller=Controller(widths, gate_bias=-100.0, initial_rotation=None), seed=1)
            shut(X)
            np.testing.assert_array_equal(shut.cell.controller(np.ones((1, 2 + 6))), 0)

    def test_adds_to_the_bias(self):
        rotation = self.angles_without_input(seed=1, angle_scale=0.1)
        shifted = self.angles_without_input(
            seed=1, angle_scale=0.1, bias_initializer="ones", kernel_initializer="zeros"
        )
        np.testing.assert_allclose(shifted, rotation + 0.1, rtol=1e-12)


def test_every_argument_survives_the_config():
    """Each set to what is not its default."""
    of_controller = {
        "hidden_units": (5, 4),
        "activation": "tanh",
        "use_bias": False,
        "angle_scale": [0.5, 0.25],
        "trainable_angle_scale": True,
        "feedback_gain": 0.7,
        "initial_rotation": 0.4,
        "gate_bias": -1.5,
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.3, seed=1),
        "bias_initializer": "ones",
        "kernel_regularizer": keras.regularizers.L2(0.01),
        "bias_regularizer": keras.regularizers.L1(0.02),
        "kernel_constraint": keras.constraints.MaxNorm(1.5),
        "bias_constraint": keras.constraints.NonNeg(),
        "name": "network",
        "trainable": False,
    }
    arguments = {
        "n_qubits": 2,
        "depth": 3,
        "circuit": CircuitAnsatz(OWN_CIRCUIT, ["b", "a"]),
        "observables": OWN_OBSERVABLES,
        "controller": (5, 4),
        "trainable_circuit": HardwareEfficient(2, depth=1, rotations=("rx",), entangler="iswap", topology="chain"),
        "circuit_initializer": keras.initializers.Constant(0.2),
        "dropout": 0.1,
        "recurrent_dropout": 0.2,
        "seed": 7,
        "backend": backends.Noisy(9, 0.01, "tensorflow"),
        "name": "memory",
        "trainable": False,
    }
    of_layer = {
        "return_sequences": True,
        "return_state": True,
        "go_backwards": True,
        "unroll": True,
        "zero_output_for_mask": True,
        "activity_regularizer": keras.regularizers.L2(0.03),
    }
    layers = [
        Controller(**of_controller),
        QRNNCell(**arguments),
        QRNN(**arguments, **of_layer),
        QRNN(2, controller=Controller(**of_controller), stateful=True, dtype="float64"),
    ]
    for layer in layers:
        config = layer.get_config()
        again = type(layer).from_config(config)
        assert again.get_config() == config
        through_json = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        assert through_json.get_config() == config
    controller, _, layer, other = (type(layer).from_config(layer.get_config()) for layer in layers)
    cell = layer.cell
    for name in ("n_qubits", "depth", "circuit", "trainable_circuit", "dropout", "recurrent_dropout", "seed"):
        assert getattr(cell, name) == arguments[name]
    assert cell.backend == arguments["backend"]
    assert list(cell.program.observables) == [cirq.PauliSum() + o for o in OWN_OBSERVABLES]
    assert cell.controller.hidden_units == (5, 4)
    assert not cell.trainable
    for network in (controller, other.cell.controller):
        assert network.hidden_units == (5, 4)
        assert network.activation is keras.activations.tanh
        assert network.angle_scale == [0.5, 0.25]
    # every argument of the constructor is in the config, and nothing above was its default
    untested = {QRNNCell: {"n_qubits"}, QRNN: {"n_qubits", "stateful"}, Controller: set()}
    for changed, defaults in zip(layers, (Controller(), QRNNCell(2), QRNN(2)), strict=False):
        names = set(inspect.signature(type(changed)).parameters) - {"kwargs"}
        config, default = changed.get_config(), defaults.get_config()
        assert names <= set(config)
        assert {name for name in names if config[name] == default[name]} == untested[type(changed)]


def test_a_config_is_plain_json():
    layer = QRNN(2, circuit=OWN_CIRCUIT, observables=OWN_OBSERVABLES, trainable_circuit=HardwareEfficient(2))
    config = layer.get_config()
    assert QRNN.from_config(json.loads(json.dumps(config))).get_config() == config


@pytest.mark.parametrize("kind", [QRNNCell, QRNN])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_qubits": 0}, ValueError, "`n_qubits` must be an integer of 1 or more, but it is 0"),
        ({"n_qubits": -1}, ValueError, "`n_qubits` must be an integer of 1 or more, but it is -1"),
        ({"n_qubits": 2.5}, TypeError, "`n_qubits` must be an integer of 1 or more, but it is 2.5"),
        ({"n_qubits": True}, TypeError, "`n_qubits` must be an integer of 1 or more, but it is True"),
        ({"n_qubits": "2"}, TypeError, "`n_qubits` must be an integer of 1 or more, but it is '2'"),
        ({"n_qubits": None}, ValueError, "`n_qubits` must be given where `circuit` does not tell it, but it is None"),
        ({"n_qubits": 60}, ValueError, "`n_qubits` must leave room .*, but one sequence of 60 qubits takes 80 EiB"),
        (
            {"n_qubits": None, "circuit": HardwareEfficient(60)},
            ValueError,
            "`n_qubits` must leave room .*, but one sequence of 60 qubits takes 80 EiB",
        ),
        ({"depth": 0}, ValueError, "`depth` must be an integer of 1 or more, but it is 0"),
        ({"circuit": OWN_CIRCUIT, "n_qubits": 3}, ValueError, "`circuit` must act on n_qubits=3 .*, but it acts on 2"),
        ({"circuit": "ring"}, TypeError, "`circuit` must be a cirq.Circuit, but it is 'ring'"),
        (
            {"circuit": cirq.Circuit(cirq.H(QUBITS[0]), cirq.measure(QUBITS[1]))},
            ValueError,
            "`circuit` must hold only .*, but moment 0 has .* on qubits q.1.: measurements",
        ),
        (
            {"observables": "XQ"},
            ValueError,
            "`observables` must be different letters from 'XYZ', 'pairs', .* or 'state', but it is 'XQ'",
        ),
        ({"observables": [cirq.X(QUBITS[2])]}, ValueError, "`observables` must act on qubits of the circuit, but "),
        ({"observables": 3}, TypeError, "`observables` must be letters from 'XYZ', .*, or a list .*, but it is 3"),
        ({"controller": "wide"}, TypeError, "`controller` must be a width, a tuple .* or a Keras layer, but it is 'wi"),
        ({"controller": True}, TypeError, "`controller` must be a width, a tuple of widths, .*, but it is True"),
        ({"controller": 0}, ValueError, "`controller` must be an integer of 1 or more, but it is 0"),
        ({"controller": (0,)}, ValueError, "`controller` must be an integer of 1 or more, but it is 0"),
        ({"controller": (3.5,)}, TypeError, "`controller` must be an integer of 1 or more, but it is 3.5"),
        (
            {"trainable_circuit": HardwareEfficient(3)},
            ValueError,
            r"`trainable_circuit` must act on the qubits of the circuit, .*, but it acts on q\(2\)",
        ),
        ({"dropout": 1.0}, ValueError, r"`dropout` must be a number in \[0, 1\), but it is 1.0"),
        ({"dropout": -0.1}, ValueError, r"`dropout` must be a number in \[0, 1\), but it is -0.1"),
        ({"recurrent_dropout": None}, TypeError, r"`recurrent_dropout` must be a number in \[0, 1\), but it is None"),
        ({"seed": 1.5}, TypeError, "`seed` must be an integer from 0 to 2147483647, but it is 1.5"),
        ({"backend": "qiskit"}, ValueError, "`backend` must be a backend or one of .*, but it is 'qiskit'"),
        ({"backend": 3}, TypeError, "`backend` must be a backend or one of .*, but it is 3"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_refuses_arguments(kind, arguments, error, message):
    with pytest.raises(error, match=rf"^Argument {message}"):
        kind(**{"n_qubits": 2, **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"hidden_units": 32}, TypeError, "`hidden_units` must be a tuple of widths, .*, but it is 32"),
        ({"hidden_units": (0,)}, ValueError, "`hidden_units` must be an integer of 1 or more, but it is 0"),
        (
            {"activation": keras.layers.PReLU()},
            TypeError,
            "`activation` must be a name or a function, not a layer, but it is ",
        ),
        ({"use_bias": "yes"}, TypeError, "`use_bias` must be True or False, but it is 'yes'"),
        ({"angle_scale": "big"}, ValueError, "`angle_scale` must be a finite number, .* or \"auto\", but it is 'big'"),
        ({"angle_scale": [[0.1]]}, ValueError, r"`angle_scale` must be a finite number, .*, but it is \[\[0.1"),
        ({"angle_scale": float("nan")}, ValueError, "`angle_scale` must be a finite number, .*, but it is nan"),
        (
            {"angle_scale": [0.1] * 7 + [np.inf]},
            ValueError,
            "`angle_scale` must be a finite number, .*, but it is .*inf",
        ),
        ({"angle_scale": True}, ValueError, "`angle_scale` must be a finite number, .*, but "),
        ({"angle_scale": {}}, TypeError, "`angle_scale` must be a finite number, .*, but it is {}"),
        ({"feedback_gain": "small"}, TypeError, "`feedback_gain` must be a finite number, but it is 'small'"),
        ({"feedback_gain": True}, TypeError, "`feedback_gain` must be a finite number, but it is True"),
        ({"feedback_gain": float("inf")}, ValueError, "`feedback_gain` must be a finite number, but it is inf"),
        (
            {"initial_rotation": -0.1},
            ValueError,
            "`initial_rotation` must be a finite number of 0 or more, but it is -0.1",
        ),
        ({"trainable_angle_scale": 1}, TypeError, "`trainable_angle_scale` must be True or False, but it is 1"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_controller_refuses_arguments(arguments, error, message):
    with pytest.raises(error, match=rf"^Argument {message}"):
        Controller(**arguments)


def test_a_scale_per_angle_needs_as_many_as_there_are_angles():
    layer = QRNN(2, controller=Controller(angle_scale=[0.1, 0.2]))
    with pytest.raises(ValueError, match="Argument `angle_scale` must be one number or 8, one per angle, but it has 2"):
        layer.build((None, 3, 2))


@pytest.mark.parametrize(
    "state",
    [
        [np.zeros((1, 6)), np.zeros((1, 4))],
        [np.zeros((1, 8)), np.zeros((1, 6))],
        [np.zeros((1, 6))],
        [np.zeros((1, 6)), np.zeros((1, 8)), np.zeros((1, 8))],
    ],
    ids=["memory too short", "swapped", "one state", "three states"],
)
def test_refuses_an_initial_state_of_another_size(state):
    message = r"Argument `initial_state` must be \[readouts, memory\] of shapes \(batch, 6\) and \(batch, 8\), but its "
    with pytest.raises(ValueError, match=message):
        QRNN(2)(np.zeros((1, 3, 2), "float32"), initial_state=state)
    with pytest.raises(ValueError, match=message):  # also where the layer has its weights already
        make(dtype="float32")(np.zeros((1, 3, 2), "float32"), initial_state=state)


def test_refuses_an_unknown_number_of_features():
    with pytest.raises(ValueError, match="Argument `inputs` must have a known number of features at each step, but "):
        QRNN(2)(keras.Input((3, None)))


@pytest.mark.parametrize("fused", [True, False])
def test_nan_in_one_sample_stays_there(fused):
    layer = make(fused, return_sequences=True, return_state=True)
    x = X.copy()
    x[1, 2] = np.nan
    clean, outputs = layer(X), layer(x)
    others = [0, 2, 3, 4]
    for value, expected in zip(outputs, clean, strict=True):
        np.testing.assert_array_equal(value.numpy()[others], expected.numpy()[others])
    np.testing.assert_array_equal(outputs[0][1, :2], clean[0][1, :2])  # the steps before it are as they were
    assert np.all(np.isnan(outputs[0][1, 2:]))


def test_nan_in_one_sample_leaves_the_gradients_in_the_other_inputs():
    layer = make()
    x = X.copy()
    x[1, 2] = np.nan
    gradients = []
    for array in (X, x):
        tensor = tf.constant(array)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            loss = tf.reduce_sum(layer(tensor) ** 2)
        gradients.append(tape.gradient(loss, tensor).numpy()[[0, 2, 3, 4]])
    np.testing.assert_array_equal(gradients[1], gradients[0])


@pytest.mark.slow
@pytest.mark.parametrize("backend", CARRIED)
@pytest.mark.parametrize("eager", [False, True])
def test_the_memory_of_training_does_not_grow_with_the_number_of_steps(eager, backend):
    """32 states of 9 qubits take 32 * 2**9 * 8 B = 131 kB in complex64. Kept for 800 steps, one for each of the dozens
    of stages of a step, they would be 100 MB times a few dozen; what is kept, inputs (32 wide) and readouts (27) with
    their gradients, is 32 * 800 * 60 * 4 B = 6 MB a copy. 75 MB leave room for a dozen copies."""
    script = f"""
        import resource
        import numpy as np, tensorflow as tf, tfq_qrnn
        layer = tfq_qrnn.QRNN(9, depth=1, backend={backend!r})
        layer.build((32, None, 2))

        def step(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(x) ** 2)
            return tape.gradient(loss, layer.trainable_weights)

        if not {eager}:
            step = tf.function(step, reduce_retracing=True)
        for steps in (50, 60, 70, 800):
            gradients = step(tf.ones((32, steps, 2)))
            assert all(np.all(np.isfinite(g)) for g in gradients)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    """
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=root, capture_output=True, text=True, check=True
    )
    *_, short, long = map(int, done.stdout.split())
    assert long - short < 75


def test_a_forked_process_runs_the_op_and_refuses_what_would_wait_for_threads():
    """It has none of its parent's."""
    x = tf.random.stateless_normal((40, 3, 1), seed=(0, 0))  # more than a thread takes at once
    layers = [QRNN(2, depth=1, controller=(), backend=backend) for backend in CARRIED]
    expected = [layer(x).numpy() for layer in layers]
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(Exception):
            results = [layer(x).numpy() for layer in layers[1:]]  # of the op
            try:
                layers[0](x)
            except RuntimeError as error:
                told = "forked from one that has run TensorFlow" in str(error)
            status = int(not (told and all(map(np.array_equal, results, expected[1:]))))
        os._exit(status)
    for _ in range(600):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0
