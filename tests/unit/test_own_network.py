"""Any Keras layer or model as the controller."""

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
from oracles import CARRIED, differences
from random_circuits import random_state

import tfq_qrnn
from tfq_qrnn import QRNN, Controller, HardwareEfficient, QRNNCell

BATCH, TIME, FEATURES = 3, 4, 2
X = np.random.default_rng(0).normal(size=(BATCH, TIME, FEATURES))
MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 1, 1, 0]], bool)
N_READOUTS, N_ANGLES = 6, 8  # XYZ of two qubits; depth 2
ROOT = str(Path(__file__).parents[2])
QUBITS = cirq.LineQubit.range(2)
CIRCUIT = HardwareEfficient(2)
TRAINED = cirq.Circuit(cirq.ry(sympy.Symbol("a"))(QUBITS[0]), cirq.CZ(*QUBITS), cirq.rx(sympy.Symbol("b"))(QUBITS[1]))


def dense(dtype="float64", dropout=0.0, seed=0, **arguments):
    """Two dense layers with weights of order 1, and dropout between them."""
    kernel = keras.initializers.RandomNormal(stddev=0.7, seed=seed)
    layers = [keras.layers.Dense(5, "tanh", kernel_initializer=kernel, dtype=dtype, **arguments)]
    if dropout:
        layers.append(keras.layers.Dropout(dropout, seed=1, dtype=dtype))
    kernel = keras.initializers.RandomNormal(stddev=0.7, seed=seed + 1)
    layers.append(keras.layers.Dense(N_ANGLES, kernel_initializer=kernel, bias_initializer="ones", dtype=dtype))
    return keras.Sequential(layers)


@keras.saving.register_keras_serializable(package="tests")
class Skipping(keras.Model):
    """A subclassed model with a weight of its own; built by its first call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden, self.norm = keras.layers.Dense(6, "gelu"), keras.layers.LayerNormalization()
        self.out = keras.layers.Dense(N_ANGLES)
        self.gain = self.add_weight(shape=(N_ANGLES,), initializer="ones", name="gain")

    def call(self, inputs):
        return self.gain * (self.out(self.norm(self.hidden(inputs))) + inputs[:, :1])


def branches():
    """A functional model: readouts and features have layers of their own."""
    inputs = keras.Input((FEATURES + N_READOUTS,))
    merged = keras.layers.Dense(5, "relu")(inputs[:, :FEATURES]) + keras.layers.Dense(5, "tanh")(inputs[:, FEATURES:])
    return keras.Model(inputs, keras.layers.Dense(N_ANGLES)(merged))


def values_and_gradients(layer, initial_state=None, training=False, mask=None):
    """Outputs, and the gradients of a loss in them in inputs, initial states and weights."""
    tensors = [tf.constant(X), *(tf.constant(state) for state in initial_state or ())]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = layer(tensors[0], initial_state=tensors[1:] or None, training=training, mask=mask)
        loss = tf.reduce_sum(outputs * np.random.default_rng(1).normal(size=outputs.shape))
    gradients = tape.gradient(loss, [*tensors, *(weight.value for weight in layer.trainable_weights)])
    assert all(gradient is not None for gradient in gradients)
    return [np.asarray(value) for value in [outputs, *gradients]]


def assert_all_close(found, expected, atol=1e-12):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=atol)


def fused(controller, **arguments):
    return QRNN(circuit=CIRCUIT, controller=controller, dtype="float64", return_sequences=True, **arguments)


def unrolled(controller, go_backwards=False, **arguments):
    cell = QRNNCell(circuit=CIRCUIT, controller=controller, dtype="float64", **arguments)
    return keras.layers.RNN(cell, return_sequences=True, unroll=True, go_backwards=go_backwards, dtype="float64")


@pytest.mark.parametrize("backend", CARRIED)
class TestWhatItComputes:
    def test_dense_layers_give_what_a_controller_of_the_same_weights_gives(self, backend):
        network = dense()
        own = fused(network, backend=backend)
        layer = fused(Controller((5,), activation="tanh", angle_scale=1.0), backend=backend)
        for one in (own, layer):
            one.build(X.shape)
        for weight, value in zip(layer.cell.controller.trainable_weights, network.get_weights(), strict=True):
            weight.assign(value)
        initial = [np.random.default_rng(2).uniform(-1, 1, (BATCH, N_READOUTS)), random_state(2, BATCH, seed=3)]
        for mask in (None, tf.constant(MASK)):
            # float64; four steps lose a few digits
            assert_all_close(
                values_and_gradients(own, initial, mask=mask), values_and_gradients(layer, initial, mask=mask)
            )

    @pytest.mark.parametrize(
        "arguments",
        [{}, {"go_backwards": True}, {"trainable_circuit": TRAINED, "circuit_initializer": "ones"}],
        ids=["plain", "backwards", "trained circuit"],
    )
    def test_the_fused_layer_gives_what_the_loop_gives(self, backend, arguments):
        assert_all_close(
            values_and_gradients(fused(dense(), backend=backend, **arguments)),
            values_and_gradients(unrolled(dense(), backend=backend, **arguments)),
        )

    def test_dropout_in_the_network_is_repeated_backward_and_is_that_of_the_loop(self, backend):
        """Each step has a mask of its own, in both; and finite differences with the same seeds give the gradient."""
        layer, loop = (kind(dense(dropout=0.4), backend=backend) for kind in (fused, unrolled))
        results = [values_and_gradients(one, training=True) for one in (layer, loop)]
        assert_all_close(*results)
        again = values_and_gradients(layer, training=True)
        assert np.abs(again[0] - results[0][0]).max() > 1e-3  # other masks in the next batch
        state = layer.cell.controller.layers[1].seed_generator.state
        weight = layer.trainable_weights[0]
        coefficients = np.random.default_rng(1).normal(size=again[0].shape)

        def loss(value):
            weight.assign(value)
            state.assign([7, 11])
            return np.sum(np.asarray(layer(X, training=True)) * coefficients)

        start = np.array(weight)
        expected = differences(loss, start)
        weight.assign(start)
        state.assign([7, 11])
        gradient = values_and_gradients(layer, training=True)[2]
        np.testing.assert_allclose(gradient, expected, atol=1e-8)  # the error of the differences

    def test_outside_of_training_nothing_is_dropped(self, backend):
        layer, without = (fused(dense(dropout=dropout), backend=backend) for dropout in (0.4, 0.0))
        np.testing.assert_array_equal(layer(X), without(X))

    @pytest.mark.parametrize("make", [branches, Skipping], ids=["functional", "subclassed"])
    def test_models_of_every_kind_train(self, backend, make):
        network = make()
        layer = QRNN(circuit=CIRCUIT, controller=network, backend=backend)
        model = keras.Sequential([keras.Input((TIME, FEATURES)), layer, keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.03), "mse")
        x, y = X.astype("float32"), X.sum(axis=(1, 2))[:, None].astype("float32")
        before = [np.array(weight) for weight in network.weights]
        losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
        assert losses[-1] < losses[0] / 4
        assert all(np.any(old != np.array(new)) for old, new in zip(before, network.weights, strict=True))
        assert {id(w) for w in network.trainable_weights} <= {id(w) for w in model.trainable_weights}


@pytest.mark.slow
@pytest.mark.parametrize("backend", CARRIED)
def test_memory_does_not_grow_with_the_number_of_steps(backend):
    """Steps of 25 and of 400, in a process of its own, whose greatest size tells.

    A sequence keeps its inputs (2 wide) and readouts (24) with their gradients: 32 * 400 * 60 * 4 B = 3 MB a copy. The
    network's hidden units alone, kept for every step, would take 32 * 400 * 2000 * 4 B = 102 MB.
    """
    script = f"""
        import resource
        import keras, numpy as np, tensorflow as tf, tfq_qrnn
        network = keras.Sequential([keras.layers.Dense(2000, "tanh"), keras.layers.Dense(16)])
        layer = tfq_qrnn.QRNN(8, depth=1, controller=network, backend={backend!r})
        layer.build((32, None, 2))

        @tf.function(reduce_retracing=True)
        def step(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(x) ** 2)
            return tape.gradient(loss, layer.trainable_weights)

        for steps in (25, 26, 400):
            assert all(np.all(np.isfinite(g)) for g in step(tf.ones((32, steps, 2))))
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *_, short, long = map(int, done.stdout.split())
    assert long - short < 40


class TestKeras:
    def test_its_weights_are_listed_and_regularised(self):
        network = dense("float32", kernel_regularizer=keras.regularizers.L2(0.1))
        layer = QRNN(circuit=CIRCUIT, controller=network, seed=1)
        layer(X)
        assert [w.path for w in layer.trainable_weights] == [w.path for w in network.trainable_weights]
        np.testing.assert_allclose(layer.losses, [0.1 * np.sum(np.array(network.weights[0]) ** 2)], rtol=1e-6)

    def test_a_frozen_layer_is_not_trained(self):
        network = dense("float32")
        network.layers[0].trainable = False
        model = keras.Sequential([keras.Input((TIME, FEATURES)), QRNN(circuit=CIRCUIT, controller=network)])
        model.compile("adam", "mse")
        before = [np.array(weight) for weight in network.layers[0].weights]
        model.fit(X, np.zeros((BATCH, N_READOUTS)), verbose=0)
        for old, new in zip(before, network.layers[0].weights, strict=True):
            np.testing.assert_array_equal(old, new)
        assert len(model.trainable_weights) == 2

    @pytest.mark.parametrize(
        "controller", [lambda: dense("float32"), branches, Skipping, lambda: Controller((5,), angle_scale=0.7)]
    )
    @pytest.mark.parametrize("fused", [True, False])
    def test_files_hold_it_whole(self, tmp_path, controller, fused):
        kind = QRNN if fused else lambda n, controller: keras.layers.RNN(QRNNCell(n, controller=controller))
        model = keras.Sequential([keras.Input((TIME, FEATURES)), kind(2, controller=controller())])
        for weight in model.weights:
            weight.assign(np.random.default_rng(4).normal(size=weight.shape))
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded(X), model(X))
        assert type(loaded.layers[0].cell.controller) is type(model.layers[0].cell.controller)

    @pytest.mark.parametrize("controller", [lambda: dense("float32"), lambda: Controller((5,), activation="gelu")])
    def test_two_layers_share_it_also_in_a_file(self, tmp_path, controller):
        shared, inputs = controller(), keras.Input((TIME, FEATURES))
        outputs = [QRNN(circuit=CIRCUIT, controller=shared, name=name)(inputs) for name in ("one", "two")]
        model = keras.Model(inputs, outputs)
        assert len(model.trainable_weights) == 4
        np.testing.assert_array_equal(*model(X))
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert loaded.get_layer("one").cell.controller is loaded.get_layer("two").cell.controller
        np.testing.assert_array_equal(loaded(X), model(X))

    @pytest.mark.parametrize("controller", [lambda: dense("float32"), lambda: Controller((5,), activation="gelu")])
    def test_clones_get_the_weights_of_a_built_network(self, controller):
        """Bidirectional makes two layers from a config, `clone_model` one."""
        layer = QRNN(circuit=CIRCUIT, controller=controller(), return_sequences=True)
        layer.build((None, TIME, FEATURES))
        layer.cell.controller.trainable_weights[0].assign_add(0.5 * np.ones((FEATURES + N_READOUTS, 5)))
        two = keras.layers.Bidirectional(layer)
        two(X)
        for one in (two.forward_layer, two.backward_layer):
            for copied, given in zip(one.cell.controller.weights, layer.cell.controller.weights, strict=True):
                np.testing.assert_array_equal(copied, given)
                assert copied is not given
        model = keras.Sequential([keras.Input((TIME, FEATURES)), layer])
        np.testing.assert_array_equal(keras.models.clone_model(model)(X), model(X))
        np.testing.assert_array_equal(keras.models.model_from_json(model.to_json())(X), model(X))

    def test_a_network_that_no_config_builds_is_not_cloned_without_its_weights(self):
        network = Skipping()
        network(np.zeros((1, FEATURES + N_READOUTS)))
        network._build_shapes_dict = None  # as of a class whose config does not say how to build it
        with pytest.raises(ValueError, match=r"Argument `controller` must be built by its config, .* but .* is not"):
            keras.layers.Bidirectional(QRNN(circuit=CIRCUIT, controller=network))

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_a_network_of_full_precision_keeps_it_in_a_layer_of_half_precision(self, policy):
        """The fused layer and the loop read the same weights: those that were given."""
        network = dense("float32")
        network.layers[0].build((None, FEATURES + N_READOUTS))
        x, results = X.astype("float16"), []
        for layer in (
            QRNN(circuit=CIRCUIT, controller=network, dtype=policy),
            keras.layers.RNN(QRNNCell(circuit=CIRCUIT, controller=network, dtype=policy), unroll=True, dtype=policy),
            QRNN(circuit=CIRCUIT, controller=network),
        ):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.cast(layer(tf.constant(x)), "float32") ** 2)
            results.append([loss, *tape.gradient(loss, network.trainable_weights)])
        assert all(gradient.dtype == tf.float32 for gradient in results[0])
        # the outputs are rounded to half precision, 11 bits or 8; the weights are not
        for one in results[:2]:
            assert_all_close(one, results[2], atol=0.02 if policy == "mixed_float16" else 0.25)
        # float32: gradients of order 10, through four steps that amplify; rounded weights make it 0.1
        assert_all_close(results[0], results[1], atol=1e-3)

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_half_precision(self, policy):
        network = dense(policy)
        layer = QRNN(circuit=CIRCUIT, controller=network, dtype=policy)
        outputs = layer(X.astype("float16"))
        assert outputs.dtype == keras.DTypePolicy(policy).compute_dtype
        exact = QRNN(circuit=CIRCUIT, controller=keras.models.clone_model(dense("float32")))
        exact(X)
        exact.cell.controller.set_weights(network.get_weights())
        # bfloat16 has 8 bits; four steps of angles of order 1 are off by a few of the last
        np.testing.assert_allclose(np.asarray(outputs, "float32"), exact(X), atol=0.1)

    @pytest.mark.tfq
    def test_replayed_by_tfq(self):
        network = dense("float32")
        exact = QRNN(circuit=CIRCUIT, controller=network)(X)
        replayed = QRNN(circuit=CIRCUIT, controller=network, backend=tfq_qrnn.backends.TFQ(max_timesteps=TIME))(X)
        np.testing.assert_allclose(replayed, exact, atol=1e-5)  # float32, and circuits written with six digits

    def test_with_noise(self):
        network = dense("float32")
        exact = QRNN(circuit=CIRCUIT, controller=network)(X)
        noisy = QRNN(circuit=CIRCUIT, controller=network, backend=tfq_qrnn.backends.Noisy(10**6), seed=1)
        # a shot noise of 0.001, which four steps of feedback amplify some twenty times
        np.testing.assert_allclose(noisy(X, training=True), exact, atol=0.1)
        assert np.abs(noisy(X, training=True) - exact).max() > 1e-4
        np.testing.assert_allclose(noisy(X), exact, atol=1e-6)

    def test_an_exported_model_runs_without_the_package(self, tmp_path):
        model = keras.Sequential(
            [keras.Input((TIME, FEATURES)), QRNN(circuit=CIRCUIT, controller=dense("float32"), backend="tensorflow")]
        )
        model.export(tmp_path / "model", verbose=False)
        loaded = tf.saved_model.load(tmp_path / "model")
        np.testing.assert_allclose(loaded.serve(X.astype("float32")), model(X), atol=1e-6)

    def test_trace(self):
        network = dense("float32")
        layer = QRNN(circuit=CIRCUIT, controller=network, return_sequences=True)
        trace = tfq_qrnn.trace(layer, X.astype("float32"))
        np.testing.assert_allclose(trace.readouts, layer(X), atol=1e-6)
        previous = np.concatenate([np.zeros((BATCH, 1, N_READOUTS)), trace.readouts[:, :-1]], axis=1)
        angles = network(np.concatenate([X, previous], axis=-1).reshape(-1, FEATURES + N_READOUTS))
        np.testing.assert_allclose(trace.angles.reshape(-1, N_ANGLES), angles, atol=1e-5)


@keras.saving.register_keras_serializable(package="tests")
class Odd(keras.layers.Layer):
    """What a network must not do, by name."""

    def __init__(self, what, **kwargs):
        super().__init__(**kwargs)
        self.what, self.variable = what, tf.Variable(np.ones(N_ANGLES, "float32"), name="raw")
        self.generator = keras.random.SeedGenerator(0)
        self.count = self.add_weight(name="count", trainable=False)

    def call(self, inputs):
        angles = inputs[:, :1] * tf.ones((1, N_ANGLES))
        if self.what == "tensorflow":
            angles += tf.random.normal((N_ANGLES,))
        elif self.what == "no seed":
            angles += keras.random.normal((N_ANGLES,))
        elif self.what == "always random":
            angles += keras.random.normal((N_ANGLES,), seed=self.generator)
        elif self.what == "counter":
            self.count.assign_add(1.0)
        elif self.what == "raw variable":
            angles *= self.variable
        elif self.what == "loss":
            self.add_loss(tf.reduce_sum(angles))
        elif self.what == "python":
            angles = tf.ensure_shape(tf.numpy_function(lambda x: x, [angles], tf.float32), (None, N_ANGLES))
        return angles


@pytest.mark.parametrize(
    ("controller", "kind", "message"),
    [
        (
            "dense",
            TypeError,
            "be a width, a tuple of widths, a tfq_qrnn.Controller or a Keras layer, but it is 'dense'",
        ),
        (True, TypeError, "be a width, a tuple of widths, .*, but it is True"),
        (3.5, TypeError, "be a width, a tuple of widths, .*, but it is 3.5"),
        (0, ValueError, "be an integer of 1 or more, but it is 0"),
        (
            lambda: keras.layers.Dense(7),
            ValueError,
            r"give angles of shape \(batch, 8\), but dense.* gives \(None, 7\)",
        ),
        (
            lambda: keras.layers.Lambda(lambda x: [x, x]),
            ValueError,
            r"give angles of shape \(batch, 8\), but lambda.* gives \[",
        ),
        (
            lambda: keras.Sequential([keras.Input((5,)), keras.layers.Dense(8)]),
            ValueError,
            r"take inputs of shape \(batch, 8\): 2 features and 6 readouts, but seq.* does not: Input 0 [^\n]*[^.]\.$",
        ),
        (
            lambda: keras.layers.Dense(8, dtype="float64"),
            ValueError,
            "compute in the dtype of the layer, float32, but dense.* gives float64: make it with dtype='float32'",
        ),
        (
            lambda: keras.Sequential([keras.layers.BatchNormalization(), keras.layers.Dense(8)]),
            ValueError,
            "give angles that depend on its inputs and weights alone, .* changes .*moving_mean.*LayerNormalization",
        ),
        (lambda: Odd("tensorflow"), ValueError, "give angles that depend .* odd.* runs RandomStandardNormal"),
        (lambda: Odd("python"), ValueError, "give angles that depend .* odd.* runs (Eager)?PyFunc"),
        (lambda: Odd("no seed"), ValueError, "give angles that depend .* odd.* draws random numbers of no seed gen"),
        (
            lambda: Odd("always random"),
            ValueError,
            "be random in training only, but odd.* draws random numbers out",
        ),
        (lambda: Odd("counter"), ValueError, "give angles that depend .* odd.* changes .*count"),
        (
            lambda: keras.layers.SpectralNormalization(keras.layers.Dense(8)),
            ValueError,
            "give angles that depend .* spectral_normalization.* changes .*vector_u",
        ),
        (lambda: Odd("raw variable"), ValueError, "have Keras weights only .* odd.* reads the TensorFlow variable raw"),
        (lambda: Odd("loss"), ValueError, "add no losses as it is called, but odd.* does"),
        (
            lambda: keras.layers.Dense(8, activity_regularizer="l2"),
            ValueError,
            "add no losses as it is called, but dense.* does",
        ),
    ],
)
@pytest.mark.parametrize("make", [QRNN, QRNNCell])
def test_what_cannot_be_a_controller_is_refused(make, controller, kind, message):
    def build():
        layer = make(2, controller=controller() if callable(controller) else controller)
        layer.build((None, TIME, FEATURES) if make is QRNN else (None, FEATURES))

    with pytest.raises(kind, match=f"Argument `controller` must {message}"):
        build()


def test_a_controller_of_another_layer_must_fit():
    shared = Controller((3,))
    QRNN(circuit=CIRCUIT, controller=shared).build((None, TIME, FEATURES))
    with pytest.raises(ValueError, match=r"`controller` must be built for 5 features, .* of 2 features, 6 "):
        QRNN(circuit=CIRCUIT, controller=shared).build((None, TIME, 5))
    with pytest.raises(ValueError, match=r"`controller` must be built for .* 16 angles in float64, but .* in float32"):
        QRNN(2, depth=4, controller=shared, dtype="float64").build((None, TIME, FEATURES))


def test_a_controller_stands_in_a_layer():
    with pytest.raises(ValueError, match="`controller` must be built by the QRNN or QRNNCell that it is given to"):
        Controller((3,))(np.ones((1, 8)))
    with pytest.raises(ValueError, match="`controller` must have the dtype of the layer, float32, but it has float64"):
        QRNN(circuit=CIRCUIT, controller=Controller((3,), dtype="float64")).build((None, TIME, FEATURES))
    cloned = keras.layers.Bidirectional(
        QRNN(circuit=CIRCUIT, controller=Controller((3,)), dtype="float64"), dtype="float64"
    )
    assert cloned(X).dtype == tf.float64
    assert cloned.forward_layer.cell.controller.scale.dtype == "float64"


def test_a_network_must_stay_as_it_was_built():
    network = keras.Sequential([keras.layers.Dense(5), keras.layers.Dense(N_ANGLES)])
    layer = QRNN(circuit=CIRCUIT, controller=network)
    layer(X)
    network.layers[0].enable_lora(2)
    with pytest.raises(ValueError, match=r"`controller` must stay as it was built, but sequential.* has other weights"):
        layer(X)


@pytest.mark.parametrize(
    "change",
    [lambda w: w[:-1], lambda w: 3, lambda w: [[1.0], *w[1:]], lambda w: ["a" * 100, *w[1:]], lambda w: [{}, *w[1:]]],
    ids=["too few", "a number", "another shape", "text", "a dict"],
)
def test_weights_of_a_config_are_those_of_its_layers(change):
    layer = QRNN(circuit=CIRCUIT, controller=dense("float32"))
    layer.build((None, TIME, FEATURES))
    config = layer.get_config()
    config["controller"]["weights"] = change(config["controller"]["weights"])
    with pytest.raises(ValueError, match="`controller` must come with its own weights, but it comes with others"):
        QRNN.from_config(config)
