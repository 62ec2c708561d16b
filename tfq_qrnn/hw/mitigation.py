"""What is done against a device's errors."""

import dataclasses
from collections.abc import Callable, Sequence

import cirq
import numpy as np

from tfq_qrnn._checks import check_bool, check_int
from tfq_qrnn._errors import argument_error, argument_type_error, shown
from tfq_qrnn._files import digest
from tfq_qrnn.hw.estimate import Estimate


@dataclasses.dataclass(frozen=True, eq=False)
class Estimator:
    """An estimator of your own: other circuits in place of each one, and what their readouts give together.

    Zero-noise extrapolation is one. Here each CZ stands once, and three times; a straight line through both readouts
    ends at no noise:

    >>> def folded(circuit):
    ...     thrice = [[m] * 3 if any(op.gate == cirq.CZ for op in m) else m for m in circuit]
    ...     return circuit, cirq.Circuit(thrice)
    >>> def straight(values):  # (circuits, observables)
    ...     return values[0] + (values[0] - values[1]) / 2
    >>> zero_noise = tfq_qrnn.hw.Estimator(folded, straight)
    >>> mitigation = tfq_qrnn.hw.Mitigation(readout=True, estimator=zero_noise)
    >>> plan = tfq_qrnn.hw.plan(tfq_qrnn.QRNN(n_qubits=2), "weber", n_timesteps=3, mitigation=mitigation)
    >>> plan.cost(repetitions=1000).shots  # 3 steps, 3 settings, 2 circuits; and 16 for the readout errors
    34000

    mitiq's functions have the same two parts: `mitiq.zne.construct_circuits` and `mitiq.zne.combine_results`.

    Attributes:
        circuits: Takes the circuit of a time step on one ring, with its symbols, its last layer and its measurement;
            returns circuits with the same symbols and the same measurement. Each of them runs at all points.
        combine: Takes their readouts, `(circuits, n_observables)`; returns `(n_observables,)`, each from its own
            column. Standard errors follow from its derivatives. A journal does not know it: a run that resumes with
            another one is refused when its angles differ.
    """

    circuits: Callable[[cirq.Circuit], Sequence[cirq.Circuit]]
    combine: Callable[[np.ndarray], np.ndarray]

    def __post_init__(self) -> None:
        for name in ("circuits", "combine"):
            if not callable(getattr(self, name)):
                raise argument_type_error(name, "be a function", getattr(self, name))

    def of(self, circuit: cirq.Circuit) -> tuple[cirq.Circuit, ...]:
        """The circuits in place of one, checked."""
        found = self.circuits(circuit)
        if not (isinstance(found, Sequence) and found and all(isinstance(one, cirq.Circuit) for one in found)):
            raise argument_type_error("estimator", "return a list of circuits from `circuits`", found)
        for one in found:
            same = cirq.parameter_names(one) == cirq.parameter_names(circuit)
            if not same or cirq.measurement_key_names(one) != cirq.measurement_key_names(circuit):
                given = "one has others"
                raise argument_error("estimator", "make circuits with the same symbols and measurement", given)
        return tuple(found)

    def combined(self, estimates: Sequence[Estimate]) -> Estimate:
        """What the circuits give together."""
        values = np.array([one.values for one in estimates])
        found = np.asarray(self.combine(values))
        if found.shape != values.shape[1:]:
            rule = f"return an array of shape {values.shape[1:]} from `combine`"
            raise argument_error("estimator", rule, f"its shape is {found.shape}")
        if found.dtype.kind not in "iuf" or not np.isfinite(found).all():
            raise argument_error("estimator", "return finite numbers from `combine`", f"they are {shown(found)}")
        found = found.astype(np.float64)
        step = 1e-4
        ways = step * np.eye(len(values))[:, :, None]
        derivatives = [
            (np.asarray(self.combine(values + way)) - self.combine(values - way)) / (2 * step) for way in ways
        ]
        variances = sum(d**2 * one.variances for d, one in zip(derivatives, estimates, strict=True))
        slopes = [one.slopes for one in estimates]
        if slopes[0] is None:
            return Estimate(found, variances, np.zeros_like(found))
        slopes = sum(d[:, None, None] * one for d, one in zip(derivatives, slopes, strict=True))
        return Estimate(found, variances, np.zeros_like(found), slopes, estimates[0].shots)


@dataclasses.dataclass(frozen=True)
class Mitigation:
    """What is done against a device's errors; for `plan` and `run`. By default nothing.

    All go together, but `survival` and `estimator`, which undo the same errors.

    Attributes:
        readout: Whether the readout errors are measured first, at 16 random bit strings, and inverted: those of each
            qubit, and of each pair that is read together. A product of more Paulis is read pair by pair, in the order
            of its qubits.
        decouple: Whether idle times are filled with pairs of X (`cirq.add_dynamical_decoupling`).
        gauges: In how many ways random Paulis are put around the CZ gates, merged into the gates beside them: the
            circuit stays as it is, with no gate more, and coherent errors average to random ones. The shots of a
            circuit are shared among them, rounded up. Standard errors are those of the shots; how far the gauges
            differ is not in them, so take 16 or more. None by default.
        survival: Whether readouts are divided by what is left of them: measured first for each number of time steps,
            with 16 circuits that run half of the steps at random angles and then undo them. What a product of as many
            Paulis keeps there is the divisor. Take it with `gauges`: without them decay to |0> spares some states, and
            the divisor is too small for those.
        estimator: An `Estimator` of your own, or None.
        seed: Of the gauges, and of the random angles.

    >>> tfq_qrnn.hw.Mitigation(readout=True, gauges=8)
    Mitigation(readout=True, decouple=False, gauges=8, survival=False, estimator=None, seed=0)
    """

    readout: bool = False
    decouple: bool = False
    gauges: int | None = None
    survival: bool = False
    estimator: Estimator | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("readout", "decouple", "survival"):
            check_bool(name, getattr(self, name))
        if self.gauges is not None:
            object.__setattr__(self, "gauges", check_int("gauges", self.gauges, 1))
        object.__setattr__(self, "seed", check_int("seed", self.seed, 0))
        if not (self.estimator is None or isinstance(self.estimator, Estimator)):
            raise argument_type_error("estimator", "be a hw.Estimator or None", self.estimator)
        if self.survival and self.estimator is not None:
            raise argument_error("estimator", "be None with survival=True: both undo the same errors", "it is not")

    @property
    def calibrates(self) -> bool:
        """Whether anything is measured before the first time step."""
        return self.readout or self.survival

    def check_exported(self) -> None:
        """Refuse what an export, the circuits as the angles make them, does not hold."""
        if self.gauges is not None or self.estimator is not None:
            name = "gauges" if self.gauges is not None else "estimator"
            given = "an export has one circuit for each number of time steps, with the symbols of its angles"
            raise argument_error(name, "be None for an export", given)

    def header(self, circuit: Callable[[int], cirq.Circuit]) -> dict:
        """What a journal knows it by; `circuit` gives that of some time steps."""
        # What there was when journals were new stands in all of them.
        found: dict = {"decouple": self.decouple, "gauge_seed": None}
        if self.gauges is not None:
            found["gauges"] = self.gauges
        if self.survival:  # alone, readout errors are told by their shots
            found |= {"survival": True, "readout": self.readout}
        if self.gauges is not None or self.survival:
            found["mitigation_seed"] = self.seed
        if self.estimator is not None:
            found["estimator"] = [digest(cirq.to_json(one).encode()) for one in self.estimator.of(circuit(1))]
        return found


def as_mitigation(mitigation: Mitigation | None, mitigate_readout: bool) -> Mitigation:
    """The two arguments of `plan` in one."""
    if not (mitigation is None or isinstance(mitigation, Mitigation)):
        raise argument_type_error("mitigation", "be a hw.Mitigation or None", mitigation)
    readout = check_bool("mitigate_readout", mitigate_readout)
    found = Mitigation() if mitigation is None else mitigation
    return dataclasses.replace(found, readout=found.readout or readout)
