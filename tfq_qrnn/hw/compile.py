"""A program as Google's processors run it: PhasedXZ gates, CZ gates, and symbols in half-turns.

Each argument is a number or one symbol of its own, an affine function of the step's angles, computed here in float64: a
symbol alone survives Google's serializer exactly, while numbers go through float32. So a number that float32 does not
hold is a symbol, too, the same one in all steps.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cirq
import numpy as np
import sympy
from numpy.typing import ArrayLike

from tfq_qrnn._errors import argument_error, counted
from tfq_qrnn.hw.emitter import GATES
from tfq_qrnn.hw.error_rates import ErrorRates
from tfq_qrnn.hw.placement import place_and_compile
from tfq_qrnn.program import GateProgram

if TYPE_CHECKING:
    from cirq_google import Calibration

MOST_SHOTS = 10**7  # of one circuit; each is kept, a byte a qubit
MOST_TIMESTEPS = 1000  # time and files grow with their square: the circuit of step t holds all steps before it


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NativeProgram:
    """One time step of a program on the qubits of a device; `compile_program` makes it.

    Attributes:
        program: The `GateProgram`.
        qubits: Where its qubits are, in its order.
        relays: Further qubits, in |0> before and after each step, over which distant ones are coupled.
        routing: How distant qubits are coupled (see `routing`): None, "relay", "ladder" or "RouteCQC".
        operations: `(kind, qubits, arguments)`; an argument is a number or the index of a symbol.
        matrix, offset: Symbols of one step from its angles, `matrix @ angles + offset`, in half-turns; a row of zeros
            is that of a constant.

    >>> native = tfq_qrnn.hw.compile_program(tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(2, depth=1)))
    >>> len(native.prefix(3)), native.relays
    (6, ())
    """

    program: GateProgram
    qubits: tuple[cirq.Qid, ...]
    relays: tuple[cirq.Qid, ...]
    routing: str | None
    operations: tuple
    matrix: np.ndarray
    offset: np.ndarray

    @property
    def n_symbols(self) -> int:
        return len(self.offset)

    @property
    def all_qubits(self) -> tuple[cirq.Qid, ...]:
        """Program qubits, then relays: the order of the final state."""
        return self.qubits + self.relays

    def symbol_names(self, step: int) -> tuple[str, ...]:
        """The names of one step's symbols; steps count from 0. Those of constants are the same in all steps."""
        width, varies = len(str(max(self.n_symbols - 1, 0))), self.matrix.any(axis=1)
        return tuple(f"h_{f'{step:04}' if varies[i] else 'const'}_{i:0{width}}" for i in range(self.n_symbols))

    @functools.cached_property
    def _steps(self) -> dict[int, cirq.Circuit]:
        return {}  # a prefix is asked for at every step, and holds all before it

    def step(self, step: int) -> cirq.Circuit:
        """The circuit of one time step, with its symbols."""
        if step not in self._steps:
            symbols = [sympy.Symbol(name) for name in self.symbol_names(step)]
            self._steps[step] = cirq.Circuit(
                GATES[kind](*(symbols[a] if isinstance(a, int) else a for a in arguments)).on(*on)
                for kind, on, arguments in self.operations
            )
        return self._steps[step].copy()

    def prefix(self, timesteps: int) -> cirq.Circuit:
        """The circuit of the first `timesteps` time steps."""
        return cirq.Circuit(moment for step in range(timesteps) for moment in self.step(step))

    def moved(self, qubits: Sequence[cirq.Qid]) -> "NativeProgram":
        """The same on other qubits, in the order of `all_qubits`."""
        at, count = dict(zip(self.all_qubits, qubits, strict=True)), len(self.qubits)
        operations = tuple((kind, tuple(at[q] for q in on), arguments) for kind, on, arguments in self.operations)
        return dataclasses.replace(
            self, qubits=tuple(qubits[:count]), relays=tuple(qubits[count:]), operations=operations
        )

    def half_turns(self, angles: ArrayLike) -> dict[str, float]:
        """Values of the symbols for angles `(timesteps, n_angles)` in radians, by name."""
        angles = np.asarray(angles, np.float64)
        if angles.ndim != 2 or angles.shape[1] != self.program.n_angles:
            raise argument_error(
                "angles", f"have shape (timesteps, {self.program.n_angles})", f"its shape is {angles.shape}"
            )
        values = angles @ self.matrix.T + self.offset
        return {
            name: float(value)
            for step, row in enumerate(values)
            for name, value in zip(self.symbol_names(step), row, strict=True)
        }

    def __repr__(self) -> str:
        couplers = sum(len(on) > 1 for _, on, _ in self.operations)
        where = f"qubits {', '.join(map(str, self.qubits))}"
        if self.relays:
            where += f" by way of {', '.join(map(str, self.relays))} ({self.routing})"
        return (
            f"NativeProgram({where}; {counted(len(self.operations) - couplers, 'one-qubit gate')}, "
            f"{counted(couplers, 'two-qubit gate')}, {counted(self.n_symbols, 'symbol')})"
        )

    def __str__(self) -> str:
        return str(self.step(0))


def compile_program(
    program: GateProgram,
    device: str | pathlib.Path | cirq.Device | None = None,
    qubits: Sequence[cirq.Qid] | None = None,
    calibration: "Calibration | ErrorRates | None" = None,
) -> NativeProgram:
    """A program in the gates of Google's processors.

    Args:
        program: A `GateProgram`.
        device: A `cirq_google.GridDevice`, the name of a processor or a path; None couples every pair.
        qubits: Where the program's qubits go, in its order; by default where `place` puts them, and the program's own
            without a device.
        calibration: A `cirq_google.Calibration` to place them by.

    Couplers that the device does not have are replaced in the cheapest of several ways (see `routing`).

    Raises:
        ValueError: The qubits are too few, too many or not on the device, two of them are not connected, or the device
            has no CZ.

    >>> program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(8))
    >>> len(tfq_qrnn.hw.compile_program(program, "weber").prefix(8))
    48
    """
    qubits, routing, operations = place_and_compile(program, device, qubits, calibration)
    relays = tuple(sorted({q for _, on, _ in operations for q in on} - set(qubits)))
    forms = {}  # what depends on angles, or is no float32: each a symbol of its own

    def argument(form):
        if not form[:-1].any() and float(np.float32(form[-1])) == form[-1]:
            return float(form[-1])
        return forms.setdefault(tuple(form.tolist()), len(forms))

    bound = tuple((kind, on, tuple(map(argument, arguments))) for kind, on, arguments in operations)
    table = np.array(list(forms)).reshape(-1, program.n_angles + 1)
    matrix = table[:, :-1] + 0.0  # no -0.0: journals hold a hash of it
    return NativeProgram(program, qubits, relays, routing, bound, matrix, table[:, -1])
