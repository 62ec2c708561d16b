"""Changes of a compiled circuit that leave what it computes, and make a real device's errors less harmful."""

import cirq
import numpy as np

from tfq_qrnn._checks import check_int


def suppress_errors(circuit: cirq.Circuit, decouple: bool = False, gauge_seed: int | None = None) -> cirq.Circuit:
    """A circuit with dynamical decoupling, gauge compiling, or both.

    Args:
        circuit: A circuit of PhasedXZ, Z and CZ gates, with symbols.
        decouple: Whether to fill idle moments with pairs of X.
        gauge_seed: A seed puts random Paulis around every CZ, one of Cirq's CZ gauges each.

    >>> qubits = cirq.LineQubit.range(2)
    >>> circuit = tfq_qrnn.hw.suppress_errors(cirq.Circuit(cirq.CZ(*qubits)), gauge_seed=1)
    >>> cirq.equal_up_to_global_phase(cirq.unitary(circuit), cirq.unitary(cirq.CZ))
    True
    """
    if gauge_seed is not None:
        rng = np.random.default_rng(check_int("gauge_seed", gauge_seed, 0))
        circuit = cirq.transformers.gauge_compiling.CZGaugeTransformer(circuit, prng=rng)
        circuit = cirq.drop_empty_moments(
            cirq.map_operations(circuit, lambda op, _: [] if isinstance(op.gate, cirq.IdentityGate) else op)
        )
    if decouple:
        circuit = cirq.add_dynamical_decoupling(circuit, schema="XX_PAIR")
    return circuit
