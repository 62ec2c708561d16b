"""What Keras promises of a recurrent layer, asserted of QRNN, of RNN(QRNNCell), and of Keras's own LSTM alike."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import cirq
import keras
import numpy as np
import pytest
import sympy
import tensorflow as tf
from keras.src.testing import TestCase  # private; the contract test of Keras's own layers
from random_circuits import random_state

from tfq_qrnn import QRNN, Controller, HardwareEfficient, QRNNCell, QuantumAttention

ROOT = str(Path(__file__).parents[2])
RNG = np.random.default_rng(0)
BATCH, STEPS, FEATURES = 5, 4, 2
X = RNG.normal(size=(BATCH, STEPS, FEATURES)).astype("float32")
Y = RNG.normal(size=(BATCH, 1)).astype("float32")
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]], bool)


def controller(hidden_units=(3,), **kwargs):
    return Controller(hidden_units, angle_scale=1.0, **kwargs)


def qrnn(**kwargs):
    return QRNN(2, **{"controller": controller(), "observables": "ZX", **kwargs})


def rnn_of_cell(dtype=None, backend="auto", **kwargs):
    cell = QRNNCell(2, controller=controller(), observables="ZX", dtype=dtype, backend=backend)
    return keras.layers.RNN(cell, dtype=dtype, **kwargs)


LAYERS = {"LSTM": lambda **kwargs: keras.layers.LSTM(4, **kwargs), "QRNN": qrnn, "RNN(QRNNCell)": rnn_of_cell}
QUANTUM = ["QRNN", "RNN(QRNNCell)"]
every_layer = pytest.mark.parametrize("name", LAYERS)
every_quantum_layer = pytest.mark.parametrize("name", QUANTUM)


@every_layer
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("zero_output", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_masked_step_leaves_the_state_as_it_is(name, with_state, zero_output, backwards):
    """Each sample is the run over its valid steps; a masked step repeats the last output (zeros before the first), or
    outputs zeros."""
    arguments = {"dtype": "float64", "return_sequences": True, "return_state": True}
    layer = LAYERS[name](**arguments, go_backwards=backwards, zero_output_for_mask=zero_output)
    states = None
    if with_state:
        states = [RNG.uniform(-1, 1, (BATCH, 4)), random_state(2, BATCH, 1) if name != "LSTM" else np.ones((BATCH, 4))]
    outputs, *last = layer(X, initial_state=states, mask=tf.constant(MASK))
    valid_only = LAYERS[name](**arguments)
    valid_only.build((None, None, FEATURES))
    valid_only.set_weights(layer.get_weights())
    step = -1 if backwards else 1
    for b in range(BATCH):
        mask, x = MASK[b, ::step], X[b, ::step]
        state = [s[b : b + 1] for s in states] if with_state else None
        expected = np.zeros((STEPS, 4))
        if mask.any():
            run, *end = valid_only(x[mask][None], initial_state=state)
            for t in range(STEPS):
                if mask[t]:
                    expected[t] = run[0, mask[: t + 1].sum() - 1]
                elif t and not zero_output:
                    expected[t] = expected[t - 1]
        else:
            end = state or [s[:1] for s in layer.get_initial_state(1)]
        np.testing.assert_allclose(outputs[b], expected, atol=1e-13)  # float64, in batches of another size
        for value, other in zip(last, end, strict=True):
            np.testing.assert_allclose(value[b], other[0], atol=1e-13)


@every_layer
def test_the_last_output_is_the_last_of_the_sequence(name):
    for backwards in (False, True):
        sequence, last = (
            LAYERS[name](return_sequences=whole, go_backwards=backwards, dtype="float64") for whole in (True, False)
        )
        outputs = sequence(X)
        last.build(X.shape)
        last.set_weights(sequence.get_weights())
        np.testing.assert_allclose(last(X), outputs[:, -1], atol=1e-15)


@every_layer
def test_reading_backwards_is_reading_the_reversed_sequence(name):
    layer, backwards = (LAYERS[name](return_sequences=True, dtype="float64", go_backwards=b) for b in (False, True))
    layer.build(X.shape)
    backwards.build(X.shape)
    backwards.set_weights(layer.get_weights())
    np.testing.assert_allclose(backwards(X), layer(X[:, ::-1]), atol=1e-15)


@every_layer
def test_unrolled_is_looped(name):
    looped, unrolled = (LAYERS[name](return_sequences=True, dtype="float64", unroll=u) for u in (False, True))
    looped.build(X.shape)
    unrolled.build(X.shape)
    unrolled.set_weights(looped.get_weights())
    for mask in (None, tf.constant(MASK)):
        np.testing.assert_allclose(unrolled(X, mask=mask), looped(X, mask=mask), atol=1e-14)


@every_layer
def test_a_mask_comes_from_masking_and_goes_on(name):
    """Rows of zeros are masked; the layer hands the mask to the next one where it returns sequences."""
    layer = LAYERS[name](return_sequences=True)
    inputs = keras.Input((None, FEATURES))
    masked = keras.layers.Masking()(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(layer(masked)))
    x = X * MASK[:, :, None]
    outputs = layer(x, mask=tf.constant(MASK)).numpy()
    expected = [outputs[b, MASK[b]].mean(axis=0) if MASK[b].any() else np.zeros(4) for b in range(4)]
    np.testing.assert_allclose(model(x)[:4], expected, atol=1e-6)  # float32


@every_quantum_layer
def test_sequential_and_functional_models_are_the_layer(name):
    layer = LAYERS[name]()
    expected = layer(X).numpy()
    np.testing.assert_allclose(keras.Sequential([layer]).predict(X, verbose=0), expected, atol=1e-6)
    inputs = keras.Input((None, FEATURES))
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, 4)
    # 5 sequences in batches of 2, 2 and 1
    np.testing.assert_allclose(model.predict(X, batch_size=2, verbose=0), expected, atol=1e-6)
    np.testing.assert_allclose(model.predict(X[:, :3], verbose=0), layer(X[:, :3]), atol=1e-6)  # another length


@every_layer
def test_bidirectional_is_both_directions(name):
    layer = keras.layers.Bidirectional(LAYERS[name](return_sequences=True, dtype="float64"), dtype="float64")
    outputs = layer(X, mask=tf.constant(MASK))
    forward, backward = layer.forward_layer, layer.backward_layer
    np.testing.assert_array_equal(outputs[..., :4], forward(X, mask=tf.constant(MASK)))
    np.testing.assert_array_equal(outputs[..., 4:], backward(X, mask=tf.constant(MASK))[:, ::-1])
    assert backward.go_backwards
    assert not forward.go_backwards
    assert np.abs(forward.weights[0].numpy() - backward.weights[0].numpy()).max() > 1e-3  # weights of their own


@every_quantum_layer
def test_time_distributed_runs_over_sequences_of_sequences(name):
    layer = LAYERS[name](dtype="float64")
    x = np.stack([X, X[::-1], 2 * X], axis=1)
    outputs = keras.layers.TimeDistributed(layer, dtype="float64")(x)
    for i in range(3):
        np.testing.assert_allclose(outputs[:, i], layer(x[:, i]), atol=1e-14)


@pytest.mark.parametrize("masked", [False, True])
def test_stacked_cells_are_stacked_layers(masked):
    cells = [
        QRNNCell(2, controller=controller(), dtype="float64"),
        QRNNCell(1, controller=controller(()), dtype="float64"),
    ]
    cell = keras.layers.StackedRNNCells(cells, dtype="float64")
    stacked = keras.layers.RNN(cell, dtype="float64", return_sequences=True, return_state=True)
    call = {"mask": tf.constant(MASK)} if masked else {}
    outputs, *states = stacked(X, **call)
    layers = [
        QRNN(2, controller=(3,), dtype="float64", return_sequences=True, return_state=True),
        QRNN(1, controller=(), dtype="float64", return_sequences=True, return_state=True),
    ]
    x = tf.constant(X, "float64")
    for cell, layer, state in zip(cells, layers, states, strict=True):
        layer.build(x.shape)
        layer.set_weights(cell.get_weights())
        x, *end = layer(x, **call)
        for value, expected in zip(state, end, strict=True):
            np.testing.assert_allclose(value, expected, atol=1e-13)
    np.testing.assert_allclose(outputs, x, atol=1e-13)


RATE = 0.01  # at 0.1 it is chaotic and turns the rounding of float32 into 1e-3


def trained(name, x=X, y=Y, **compile_arguments):
    """The weights after three epochs of gradient descent in batches of 2, 2 and 1."""
    keras.utils.set_random_seed(1)
    jit_compile = compile_arguments.get("jit_compile", False)
    backend = {"backend": "tensorflow"} if jit_compile else {}  # the native op is not for XLA
    model = keras.Sequential([keras.Input((None, FEATURES)), LAYERS[name](**backend), keras.layers.Dense(1)])
    start = model.get_weights()
    model.compile(keras.optimizers.SGD(RATE), "mse", **{"jit_compile": False, **compile_arguments})
    assert model.jit_compile == jit_compile
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(2)
    history = model.fit(data, epochs=3, shuffle=False, verbose=0).history["loss"]
    return start, model.get_weights(), history, model.evaluate(data, verbose=0)


@pytest.fixture(scope="module")
def trained_by_hand():
    """The same training with a tape and a loop in eager mode, no part of fit."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((None, FEATURES)), qrnn(), keras.layers.Dense(1)])
    start = model.get_weights()
    for _ in range(3):
        for i in (0, 2, 4):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(X[i : i + 2]) - Y[i : i + 2]) ** 2)
            for weight, gradient in zip(
                model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True
            ):
                weight.assign_sub(RATE * gradient)
    return start, model.get_weights(), float(tf.reduce_mean((model(X) - Y) ** 2))


@every_quantum_layer
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"run_eagerly": True},
        {"steps_per_execution": 3},
        pytest.param({"jit_compile": True}, marks=pytest.mark.slow),
    ],
    ids=lambda arguments: next(iter(arguments), "graph"),
)
def test_fit_is_the_training_loop_by_hand(name, arguments, trained_by_hand):
    start, end, losses, loss = trained(name, **arguments)
    for value, expected in zip(start, trained_by_hand[0], strict=True):
        np.testing.assert_array_equal(value, expected)
    for value, expected in zip(end, trained_by_hand[1], strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-5)  # nine updates in float32
    assert loss == pytest.approx(trained_by_hand[2], abs=1e-5)
    assert losses[2] < losses[0]


def test_jit_compiled_predictions_are_the_uncompiled_ones():
    model = keras.Sequential(
        [keras.Input((None, FEATURES)), keras.layers.Masking(), qrnn(return_sequences=True, backend="tensorflow")]
    )
    x = X * MASK[:, :, None]
    expected = model(x)
    model.compile(jit_compile=True)
    assert model.jit_compile
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)  # float32


@every_layer
def test_a_stateful_model_goes_on_from_batch_to_batch(name):
    inputs = keras.Input(batch_shape=(BATCH, None, FEATURES))
    layer = LAYERS[name](stateful=True, return_sequences=True, dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    whole = model.predict(X, batch_size=BATCH, verbose=0)
    layer.reset_state()
    halves = [model.predict(x, batch_size=BATCH, verbose=0) for x in (X[:, :2], X[:, 2:])]
    np.testing.assert_allclose(np.concatenate(halves, axis=1), whole, atol=1e-14)
    layer.reset_state()
    np.testing.assert_allclose(model.predict(X[:, :2], batch_size=BATCH, verbose=0), halves[0], atol=1e-14)


@every_layer
def test_encoder_states_start_a_decoder(name):
    """return_state of one layer is initial_state of another inside a functional model, with gradients into both."""
    inputs = keras.Input((None, FEATURES))
    encoder, decoder = LAYERS[name](return_state=True), LAYERS[name]()
    _, *states = encoder(inputs)
    model = keras.Model(inputs, decoder(inputs, initial_state=states))
    np.testing.assert_allclose(model(X), decoder(X, initial_state=list(encoder(X)[1:])), atol=1e-6)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(X) ** 2)
    assert all(np.abs(gradient).max() > 1e-5 for gradient in tape.gradient(loss, encoder.trainable_weights))


POLICIES = [("float32", 0), ("float64", 0), ("mixed_float16", 2**-12), ("mixed_bfloat16", 2**-9)]


@every_quantum_layer
@pytest.mark.parametrize(("policy", "rounding"), POLICIES)
def test_every_policy_gives_its_dtype_and_the_numbers_of_float64(name, policy, rounding):
    """Inputs are rounded beforehand, so that what differs is float32 inside and one rounding of the outputs."""
    layer = LAYERS[name](dtype=policy, return_sequences=True, return_state=True)
    x = tf.cast(X, layer.compute_dtype)
    outputs = layer(x)
    exact = LAYERS[name](dtype="float64", return_sequences=True, return_state=True)
    exact.build(X.shape)
    exact.set_weights(layer.get_weights())
    for value, expected in zip(outputs, exact(tf.cast(x, "float64")), strict=True):
        assert value.dtype == layer.compute_dtype
        np.testing.assert_allclose(tf.cast(value, "float64"), expected, atol=rounding + 1e-5)
    assert {weight.dtype for weight in layer.weights} == {"float64" if policy == "float64" else "float32"}


@every_quantum_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_trains_in_half_precision_nearly_like_in_float32(name, policy):
    ends = []
    for dtype in ("float32", policy):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((STEPS, FEATURES)), LAYERS[name](dtype=dtype), keras.layers.Dense(1)])
        start = model.get_weights()
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(X, Y, epochs=2, batch_size=BATCH, shuffle=False, verbose=0)
        ends.append(model.get_weights())
    for before, expected, value in zip(start, *ends, strict=True):
        # inputs, outputs and the gradients in them are rounded to 2**-9; steps are 0.1 of gradients of up to 10
        np.testing.assert_allclose(value, expected, atol=1e-2)
        assert before.ndim == 0 or np.abs(expected - before).max() > 2e-2


def test_regularizers_add_their_losses():
    """L2 of a kernel is 0.01 sum w**2, L1 of a bias 0.02 sum |b|, of the outputs 0.03 sum |y| / batch."""
    network = controller(
        kernel_regularizer=keras.regularizers.L2(0.01),
        bias_regularizer=keras.regularizers.L1(0.02),
        bias_initializer="ones",
    )
    layer = qrnn(controller=network, activity_regularizer=keras.regularizers.L1(0.03))
    outputs = layer(X).numpy()
    expected = (
        0.01 * sum(np.sum(kernel.numpy() ** 2) for kernel in network.kernels)
        + 0.02 * sum(np.sum(np.abs(bias.numpy())) for bias in network.biases)
        + 0.03 * np.sum(np.abs(outputs)) / BATCH
    )
    assert float(sum(layer.losses)) == pytest.approx(expected, rel=1e-5)  # sums in float32
    assert len(layer.losses) == 5


def test_constraints_hold_after_every_update():
    constraints = {"kernel_constraint": keras.constraints.MaxNorm(0.1), "bias_constraint": keras.constraints.NonNeg()}
    layer = qrnn(controller=controller(**constraints))
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(X, np.tile(Y, 4), epochs=2, verbose=0)
    for kernel in layer.cell.controller.kernels:
        assert np.linalg.norm(kernel, axis=0).max() <= 0.1 + 1e-6
    assert min(bias.numpy().min() for bias in layer.cell.controller.biases) >= 0
    assert np.linalg.norm(layer.cell.controller.kernels[1], axis=0).max() > 0.05  # it was not all zeros


@every_quantum_layer
def test_a_layer_that_is_not_trainable_stays(name):
    layer = LAYERS[name]()
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer, keras.layers.Dense(1)])
    layer.trainable = False
    assert layer.trainable_weights == []
    start = [layer.get_weights(), model.layers[1].get_weights()]
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    for value, expected in zip(layer.get_weights(), start[0], strict=True):
        np.testing.assert_array_equal(value, expected)
    assert np.any(model.layers[1].get_weights()[0] != start[1][0])
    assert QRNN(2, trainable=False).cell.trainable is False


def test_a_cloned_model_has_the_architecture_and_new_weights():
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), qrnn(circuit=own_circuit(), controller=(3,))])
    clone = keras.models.clone_model(model)
    assert np.abs(clone.get_weights()[0] - model.get_weights()[0]).max() > 1e-3
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(X, verbose=0), model.predict(X, verbose=0))


def own_circuit():
    a, b = sympy.symbols("a b")
    q = cirq.LineQubit.range(2)
    return cirq.Circuit(cirq.ry(a)(q[0]), cirq.FSimGate(b, 0.3)(*q), cirq.H(q[1]), cirq.CNOT(*q) ** a)


def saved_models():
    q = cirq.LineQubit.range(2)
    observables = [cirq.Z(q[0]) * cirq.Z(q[1]), cirq.X(q[0]) - 0.5 * cirq.Y(q[1])]
    own = {"circuit": own_circuit(), "observables": observables, "trainable_circuit": HardwareEfficient(2, depth=1)}
    inputs = keras.Input((None, FEATURES))
    states = keras.layers.Bidirectional(QRNN(2, controller=Controller((4,), activation="glu"), return_sequences=True))(
        inputs
    )
    attended = QuantumAttention("overlap", dropout=0.1)([states, states])
    return {
        "own circuit": keras.Sequential([inputs, qrnn(**own, dropout=0.1, seed=3), keras.layers.Dense(1)]),
        "cell": keras.Sequential([inputs, rnn_of_cell(return_sequences=True)]),
        "stacked cells": keras.Sequential(
            [inputs, keras.layers.RNN([QRNNCell(2), QRNNCell(1, controller=Controller(angle_scale=[0.1] * 4))])]
        ),
        "attention": keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(attended)),
        "half precision": keras.Sequential([inputs, qrnn(dtype="mixed_float16")]),
    }


@pytest.mark.slow
def test_models_are_saved_and_loaded_in_a_new_process(tmp_path):
    """Which imports this package and Keras, no more, and loads in safe mode."""
    models = saved_models()
    np.save(tmp_path / "x.npy", X)
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
    script = """
        import sys
        import tfq_qrnn, keras
        import numpy as np
        x = np.load("x.npy")
        for name in sys.argv[1:]:
            model = keras.models.load_model(f"{name}.keras", safe_mode=True)
            np.save(f"{name}.npy", model.predict(x, verbose=0))
    """
    environment = {**os.environ, "PYTHONPATH": ROOT, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", textwrap.dedent(script), *models]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, model in models.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), model.predict(X, verbose=0), err_msg=name)


def test_training_goes_on_from_a_saved_model(tmp_path):
    """The optimizer's state is saved too: two epochs, save, two epochs are four epochs."""
    ends = []
    for interrupted in (False, True):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((STEPS, FEATURES)), qrnn()])
        model.compile(keras.optimizers.Adam(0.01), "mse")
        fit = {"x": X, "y": np.tile(Y, 4), "epochs": 2, "shuffle": False, "verbose": 0}
        model.fit(**fit)
        if interrupted:
            model.save(tmp_path / "model.keras")
            model = keras.models.load_model(tmp_path / "model.keras")
        model.fit(**fit)
        ends.append(model.get_weights())
    for value, expected in zip(*ends, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-6)  # the same float32 ops


@every_layer
def test_the_contract_of_kerass_own_layers(name):
    """Build, serialize, run on symbols and numbers, train, mixed precision, masks: as Keras tests its layers."""
    kwargs = {"units": 4} if name == "LSTM" else {"n_qubits": 2, "controller": (3,), "observables": "ZX"}
    kind = keras.layers.LSTM if name == "LSTM" else QRNN
    if name == "RNN(QRNNCell)":
        kind, kwargs = keras.layers.RNN, {"cell": QRNNCell(**kwargs)}
    TestCase().run_layer_test(
        kind,
        init_kwargs={**kwargs, "return_sequences": True},
        input_shape=(3, 2, 4),
        expected_output_shape=(3, 2, 4),
        expected_num_trainable_weights=3 if name == "LSTM" else 4,
        expected_num_non_trainable_weights=0 if name == "LSTM" else 1,
        expected_num_seed_generators=1,
        supports_masking=True,
        run_mixed_precision_check=name == "LSTM",  # it wants every sublayer in half precision; see the policies above
    )


def test_refuses_another_number_of_features_than_it_was_built_for():
    layer = QRNN(2)
    layer(np.zeros((2, 3, 4), "float32"))
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 4"):
        layer(np.zeros((2, 3, 5), "float32"))
