"""A program replayed from |0...0> by TensorFlow Quantum's ops."""

import cirq
import numpy as np
import sympy
import tensorflow as tf

from tfq_qrnn._errors import argument_error
from tfq_qrnn._tfq import load_tfq
from tfq_qrnn.gates import map_simple_arguments, parse_linear, split_controls

DIFFERENTIATORS = {
    "adjoint": "Adjoint",
    "parameter_shift": "ParameterShift",
    "central_difference": "CentralDifference",
    "forward_difference": "ForwardDifference",
}


class Replay:
    """history (batch, max_timesteps, n_angles), steps before this one (batch,) -> readouts (batch, n_observables).

    Every argument of a gate becomes a symbol of its own, whose value is computed here: TFQ itself knows no offset
    beside a symbol and rounds numbers to six digits.
    """

    def __init__(self, program, backend):
        self.backend = backend
        qubits = {qubit: cirq.LineQubit(i) for i, qubit in enumerate(program.qubits)}
        index = {str(symbol): i for i, symbol in enumerate(program.symbols)}
        arguments = []

        def free(value):
            """A number that TFQ keeps as it is, or a symbol that stands for `value`."""
            argument = parse_linear(value, index)
            if argument.index is None and round(argument.offset, 6) == argument.offset:
                return argument.offset
            arguments.append(argument)
            return sympy.Symbol(f"argument{len(arguments) - 1}")

        circuit = program.circuit.transform_qubits(qubits)
        if backend.noise is not None:
            circuit = circuit.with_noise(backend.noise)
        step = cirq.Circuit()
        for moment in circuit:
            step += cirq.Circuit(_map_arguments(o, free, backend.noise) for o in moment)
        self.matrix = np.zeros((program.n_angles, len(arguments)), np.float32)
        self.offset = np.array([argument.offset for argument in arguments], np.float32)
        for column, argument in enumerate(arguments):
            if argument.index is not None:
                self.matrix[argument.index, column] = argument.scale
        total = backend.max_timesteps * len(arguments)
        self.names = [f"a{i:0{len(str(total))}}" for i in range(total)]
        circuit, circuits = cirq.Circuit(cirq.I.on_each(*sorted(qubits.values()))), []
        for t in range(backend.max_timesteps):
            names = {f"argument{i}": sympy.Symbol(self.names[t * len(arguments) + i]) for i in range(len(arguments))}
            circuit = circuit + cirq.resolve_parameters(step, names, recursive=False)
            circuits.append(circuit)
        tfq = load_tfq("The TFQ backend")
        self.circuits = tfq.convert_to_tensor(circuits).numpy()
        zero = cirq.PauliSum()
        observables = [sum((term.map_qubits(qubits) for term in terms), zero) for terms in program.observables]
        self.observables = tfq.convert_to_tensor([observables]).numpy()
        self.op = _differentiable_op(backend)

    def __call__(self, history, count):
        batch = tf.shape(history)[0]
        values = tf.reshape(tf.tensordot(history, self.matrix, 1) + self.offset, (batch, len(self.names)))
        arguments = [
            tf.gather(tf.constant(self.circuits), count),
            tf.constant(self.names, tf.string),
            values,
            tf.tile(tf.constant(self.observables), (batch, 1)),
        ]
        if self.backend.repetitions is not None:
            arguments.append(tf.fill((batch, self.observables.shape[1]), self.backend.repetitions))
        return tf.ensure_shape(self.op(*arguments), (history.shape[0], self.observables.shape[1]))


def _map_arguments(operation, function, noise):
    if noise is not None and operation.untagged.gate == noise:
        return [operation]
    mapped = map_simple_arguments(operation, function)
    for part in mapped:
        gate, controls, _ = split_controls(part)
        if controls and isinstance(gate, cirq.PhasedISwapPowGate) and gate.global_shift:
            raise argument_error(
                "program",
                "run in TFQ as it does in Cirq",
                f"TFQ loses the global_shift of {operation}, which its controls make visible",
            )
    return mapped


def _differentiable_op(backend):
    tfq, shots = load_tfq("The TFQ backend"), backend.repetitions is not None
    kind = backend.differentiator or ("parameter_shift" if shots else "adjoint")
    differentiable = getattr(tfq.differentiators, DIFFERENTIATORS[kind])().generate_differentiable_op
    if backend.noise is not None:
        return differentiable(sampled_op=tfq.noise.sampled_expectation)
    if shots:
        return differentiable(sampled_op=tfq.get_sampled_expectation_op())
    return differentiable(analytic_op=tfq.get_expectation_op())
