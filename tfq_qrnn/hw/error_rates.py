"""What a calibration says about the gates that our circuits use: how well each worked when it was measured."""

import dataclasses
import statistics
import warnings
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import cirq

from tfq_qrnn._errors import argument_error, argument_type_error, counted
from tfq_qrnn.hw.devices import cirq_google

if TYPE_CHECKING:
    from cirq_google import Calibration

_READOUT = (("parallel_p00_error", "parallel_p11_error"), ("single_qubit_p00_error", "single_qubit_p11_error"))
_CZ = ("two_qubit_parallel_cz_gate_xeb_pauli_error_per_cycle", "two_qubit_cz_gate_xeb_pauli_error_per_cycle")
_SQRT_ISWAP = (
    "two_qubit_parallel_sqrt_iswap_gate_xeb_pauli_error_per_cycle",
    "two_qubit_sqrt_iswap_gate_xeb_pauli_error_per_cycle",
)
_T1, _ONE_QUBIT = "single_qubit_idle_t1_micros", "single_qubit_rb_pauli_error_per_gate"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ErrorRates:
    """What a calibration says about the gates that our circuits use.

    Attributes:
        one_qubit: Qubit -> Pauli error of a one-qubit gate.
        two_qubit: `frozenset` of two qubits -> Pauli error of their CZ.
        readout: Qubit -> `(e0, e1)`, the probabilities that 0 is read as 1 and 1 as 0.
        two_qubit_source: The gate that `two_qubit` was measured with: "CZ" or "sqrt-iSWAP".
        t1: Qubit -> T1 in microseconds; qubits without it are taken not to decay.

    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # this calibration has no error of CZ
    ...     rates = tfq_qrnn.hw.error_rates(tfq_qrnn.hw.load_calibration("weber"))
    >>> rates
    ErrorRates(53 qubits, 86 couplers; medians: one-qubit gate 0.0024, sqrt-iSWAP 0.021, readout e0 0.011,
    e1 0.055)
    """

    one_qubit: dict
    two_qubit: dict
    readout: dict
    two_qubit_source: str
    t1: dict = dataclasses.field(default_factory=dict)

    def decay(self, qubit: cirq.Qid, microseconds: float) -> float:
        """The Pauli error of a qubit that waits: half of the time in units of T1."""
        return microseconds / (2 * self.t1[qubit]) if qubit in self.t1 else 0.0

    def check(self, qubits: Iterable[cirq.Qid], pairs: Iterable[Collection[cirq.Qid]] = ()) -> None:
        """Refuse qubits and pairs without data: the message names them and what is missing."""
        for datum, rates in (("an error of one-qubit gates", self.one_qubit), ("readout errors", self.readout)):
            if missing := [q for q in qubits if q not in rates]:
                raise incomplete(datum, missing)
        if missing := [pair for pair in pairs if frozenset(pair) not in self.two_qubit]:
            raise incomplete("an error of two-qubit gates", ["-".join(map(str, sorted(pair))) for pair in missing])

    def __repr__(self) -> str:
        zeros, ones = ([rates[i] for rates in self.readout.values()] for i in (0, 1))
        one, two, e0, e1 = (
            f"{statistics.median(rates):.2g}" if rates else "none"
            for rates in (self.one_qubit.values(), self.two_qubit.values(), zeros, ones)
        )
        return (
            f"ErrorRates({counted(len(self.one_qubit), 'qubit')}, {counted(len(self.two_qubit), 'coupler')}; medians: "
            f"one-qubit gate {one}, {self.two_qubit_source} {two}, readout e0 {e0}, e1 {e1})"
        )


def incomplete(datum: str, missing: Sequence) -> ValueError:
    """The error of a calibration without `datum` for some qubits or pairs."""
    named = ", ".join(map(str, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    return argument_error("calibration", f"have {datum} wherever it is needed", f"it has none of {named}")


def error_rates(calibration: "Calibration | ErrorRates") -> ErrorRates:
    """The error rates of a `cirq_google.Calibration`.

    The calibrations of weber and rainbow do not have CZ: its error is then that of sqrt-iSWAP, which the same couplers
    run in the same time, and a warning says so.

    Raises:
        TypeError: It is no calibration.
        ValueError: It lacks the errors of one-qubit gates, of readout, or of both two-qubit gates.

    >>> rates = tfq_qrnn.hw.error_rates(tfq_qrnn.hw.load_calibration("weber"))
    >>> rates.two_qubit_source
    'sqrt-iSWAP'
    """
    rates = rates_of(calibration)
    if calibration is not rates:
        warn_without_cz(rates, stacklevel=3)
    return rates


def warn_without_cz(rates: ErrorRates, stacklevel: int) -> None:
    """Say that errors of CZ are those of another gate, if they are."""
    if rates.two_qubit_source != "CZ":
        warnings.warn(
            "This calibration has no error of the CZ gate; the error of sqrt-iSWAP on the same pair stands in for it.",
            stacklevel=stacklevel,
        )


def rates_of(calibration: "Calibration | ErrorRates") -> ErrorRates:
    """`error_rates` without a warning."""
    if isinstance(calibration, ErrorRates):
        return calibration
    if not isinstance(calibration, cirq_google().Calibration):
        raise argument_type_error("calibration", "be a cirq_google.Calibration", calibration)

    def metric(*names):
        found = next((calibration[name] for name in names if name in calibration), None)
        if found is None:
            known = ", ".join(calibration) or "none"
            raise argument_error("calibration", f"have the metric {' or '.join(names)}", f"it has {known}")
        return {targets: float(values[0]) for targets, values in found.items()}

    zeros, ones = map(metric, next((pair for pair in _READOUT if {*pair} <= {*calibration}), _READOUT[0]))
    pairs = metric(*_CZ, *_SQRT_ISWAP)
    return ErrorRates(
        {targets[0]: value for targets, value in metric(_ONE_QUBIT).items()},
        {frozenset(targets): value for targets, value in pairs.items()},
        {targets[0]: (zeros[targets], ones[targets]) for targets in zeros if targets in ones},
        "CZ" if any(name in calibration for name in _CZ) else "sqrt-iSWAP",
        {targets[0]: value for targets, value in metric(_T1).items()} if _T1 in calibration else {},
    )
