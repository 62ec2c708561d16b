"""Recurrent layers by name, at a given number of parameters."""

import functools

import numpy as np

from experiments.late import late

cirq, keras, tfq_qrnn = late("cirq", "keras", "tfq_qrnn")
baselines, variants = late("experiments.models.baselines", "experiments.models.variants")
(_errors,) = late("tfq_qrnn._errors")

CLASSICAL = ("lstm", "gru", "rnn", "scornn")
NAMES = ("qrnn", "qrnn-linear", "unitary", *CLASSICAL)

TOLERANCE = 0.03  # of the number of parameters, within which models count as equal in size


def recurrent_layer(
    name,
    units=None,
    /,
    *,
    qubits,
    depth,
    hidden_units,
    backend="auto",
    entangler="cz",
    angle_scale="auto",
    feedback_gain=0.1,
    initial_rotation=0.0,
    use_bias=True,
    observables="XYZ",
    activation="glu",
    gate_bias=None,
    drift=None,
    circuit=None,
    circuit_arguments=None,
    **arguments,
):
    """The recurrent layer of a name.

    "qrnn-linear" and "unitary" have as many parameters as "qrnn" as they stand. The first has the same controller
    without its activation: what a linear controller computes, in the same number of parameters, as long as the hidden
    layers are as wide as the angles are many. The second is `baselines.UnitaryCell`.

    Args:
        units: Of a classical layer, what `matched_units` gives: its width, or `(width, adapter)`.
        qubits, depth, hidden_units, backend, entangler, activation: Of the others.
        angle_scale, initial_rotation, use_bias, gate_bias: Of the others, too.
        feedback_gain: Of the others, too; None for no feedback at all.
        drift: A `tfq_qrnn.Drift` of the circuit, or None. A unitary RNN gets its eigenphases.
        circuit: Another ansatz than that of `qubits`, `depth`, `entangler` and `drift`, of a QRNN.
        observables: Of the others, as in `tfq_qrnn.QRNN`.
        circuit_arguments: More arguments of a `tfq_qrnn.QRNN` alone, a dict.
        **arguments: Those that all recurrent layers of Keras take: return_sequences, return_state, name, ...
    """
    if name in CLASSICAL:
        plain, adapted = classical(name)
        # a pair comes out of a record as a list
        return adapted(*units, **arguments) if isinstance(units, (tuple, list)) else plain(units, **arguments)
    circuit = circuit or ansatz(qubits, depth, entangler, drift)
    kind = variants.OpenLoop if feedback_gain is None else tfq_qrnn.Controller
    controller = kind(
        hidden_units,
        activation="linear" if name == "qrnn-linear" else activation,
        use_bias=use_bias,
        angle_scale=angle_scale,
        feedback_gain=feedback_gain or 0.0,
        initial_rotation=initial_rotation,
        gate_bias=gate_bias,
        name="controller",
    )
    if name == "unitary":
        n_readouts = tfq_qrnn.GateProgram(circuit, observables).n_observables
        return baselines.UnitaryRNN(
            2**qubits,
            n_readouts,
            circuit.n_angles,
            depth,
            controller=controller,
            eigenphases=None if drift is None else -eigenphases(circuit)[::-1],
            **arguments,
        )
    return tfq_qrnn.QRNN(
        circuit=circuit,
        observables=observables,
        controller=controller,
        backend=backend,
        **(circuit_arguments or {}),
        **arguments,
    )


def ansatz(qubits, depth=2, entangler="cz", drift=None):
    """The hardware-efficient ansatz; with the entangler "none" its rotations alone, which are as many angles."""
    if entangler != "none":
        return tfq_qrnn.HardwareEfficient(qubits, depth, entangler=entangler, drift=drift)
    whole = tfq_qrnn.HardwareEfficient(qubits, depth)
    rotations = [op for op in whole.circuit.all_operations() if len(op.qubits) == 1]
    return tfq_qrnn.CircuitAnsatz(cirq.Circuit(rotations), symbols=whole.symbols, drift=drift)


def eigenphases(circuit):
    """The frequencies with which a memory moves without news: those of U at zero angles, in radians, sorted."""
    return np.sort(np.angle(np.linalg.eigvals(cirq.unitary(circuit.resolve(np.zeros(circuit.n_angles))))))


def classical(name):
    """A classical layer's class, and the same behind a narrow layer that fills up its parameters."""
    return {
        "lstm": (keras.layers.LSTM, baselines.AdaptedLSTM),
        "gru": (keras.layers.GRU, baselines.AdaptedGRU),
        "rnn": (keras.layers.SimpleRNN, baselines.AdaptedSimpleRNN),
        "scornn": (baselines.ScoRNN, baselines.AdaptedScoRNN),
    }[name]


def backend(name, shots=None, pauli_error=0.0):
    """A backend's name, or the backend that trains with the noise of shots and of Pauli errors."""
    if shots is None and not pauli_error:
        return name
    return tfq_qrnn.backends.Noisy(repetitions=shots, pauli_error=pauli_error, backend=name)


def count_trainable(model):
    return sum(int(keras.ops.size(weight)) for weight in model.trainable_weights)


def matched_units(build, target, tolerance=TOLERANCE):
    """The size at which a classical layer's model has as many trainable parameters as another, within 3 %.

    Args:
        build: A function of the size that gives the model; it passes the size on to `recurrent_layer`.
        target: Number of trainable parameters.
        tolerance: Largest difference, as a fraction of `target`.

    Returns:
        The width that comes nearest, an int; where that is not near enough `(width, adapter)`, the largest width and
        the fewest columns of an adapter (see `baselines`) that are.

    Raises:
        ValueError: No size comes near enough.
    """

    @functools.cache
    def count(size):
        return count_trainable(build(size))

    def is_near(parameters):
        return abs(parameters - target) <= tolerance * target

    low, high = 0, 1  # the last width below the target, and the first at it or above
    while count(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    around = [width for width in (low, high) if width]
    nearest = min(around, key=lambda width: abs(count(width) - target))
    if is_near(count(nearest)):
        return nearest
    # Down to a fifth fewer units: more of an adapter would make another model of it.
    for width in range(low, int(0.8 * low), -1):
        column = count((width, 1)) - count(width)
        adapter = round((target - count(width)) / column)
        if adapter and is_near(count(width) + adapter * column):
            return width, adapter
    raise _errors.argument_error(
        "target",
        f"be a number of parameters that this layer comes to within {100 * tolerance:g} %",
        f"it is {target:,}, and {' and '.join(f'{width} units have {count(width):,}' for width in around)}",
    )
