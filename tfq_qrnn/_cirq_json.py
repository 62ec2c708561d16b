"""Cirq's JSON as somebody else may have written it.

It names classes, and `cirq.read_json` makes any of the some two hundred that it knows, among them powers of numbers
without bound and gates that parse expressions. Here only the classes are made that our files hold.
"""

import cirq

from tfq_qrnn._files import parse_json

_MOST_QUBITS = 64  # of a gate that says its number of qubits
_MOST_POWER = 64

_QUBITS = ("LineQubit", "GridQubit", "NamedQubit", "LineQid", "GridQid", "NamedQid")
_EXPRESSIONS = (
    *("sympy.Symbol", "sympy.Add", "sympy.Mul", "sympy.Pow", "sympy.Float", "sympy.Integer", "sympy.Rational"),
    *("sympy.pi", "sympy.E", "sympy.EulerGamma", "complex"),
)
_PAULIS = ("_PauliX", "_PauliY", "_PauliZ")
_GATES = (
    *("XPowGate", "YPowGate", "ZPowGate", "HPowGate", "Rx", "Ry", "Rz", *_PAULIS, "IdentityGate", "PhasedXPowGate"),
    *("XXPowGate", "YYPowGate", "ZZPowGate", "cirq.MSGate", "CZPowGate", "CXPowGate", "CNotPowGate", "SwapPowGate"),
    *("ISwapPowGate", "PhasedISwapPowGate", "FSimGate", "CCZPowGate", "CCXPowGate", "CCNotPowGate", "CSwapGate"),
    *("PhasedXZGate", "MatrixGate", "GlobalPhaseGate", "MeasurementGate", "ControlledGate"),
)
_OPERATIONS = (
    *("GateOperation", "ControlledOperation", "TaggedOperation", "SingleQubitPauliStringGateOperation"),
    *("ProductOfSums", "SumOfProducts", "VirtualTag", "RoutingSwapTag"),
)
CIRCUIT = frozenset(("Circuit", "FrozenCircuit", "Moment", *_OPERATIONS, *_GATES, *_QUBITS, *_EXPRESSIONS))
OBSERVABLES = frozenset(("PauliSum", "PauliString", *_PAULIS, *_QUBITS, "complex"))
CALIBRATION = frozenset(("Calibration",))
CHANNEL = frozenset(
    (
        *("DepolarizingChannel", "AsymmetricDepolarizingChannel", "AmplitudeDampingChannel", "PhaseDampingChannel"),
        *("GeneralizedAmplitudeDampingChannel", "BitFlipChannel", "PhaseFlipChannel"),
    )
)


def read(text, classes):
    """What `cirq.to_json` wrote, where it holds nothing but objects of `classes`, such as `CIRCUIT`.

    Raises:
        ValueError: The text holds something else; the message is the clause "but ...".
    """
    parse_json(text, lambda value: _check(value, classes))
    try:
        return cirq.read_json(json_text=text)
    except Exception as error:  # whatever a constructor of Cirq makes of wrong arguments
        raise ValueError(f"Cirq cannot read it: {error!r}") from error


def _check(value, classes):
    kind = value.get("cirq_type", "")
    if not isinstance(kind, str) or (kind and kind not in classes):
        raise ValueError(f"it holds {kind!r:.80}")
    if kind.startswith("sympy."):
        _check_expression(kind, value)
    count = value.get("num_qubits", 0)
    if isinstance(count, (int, float)) and count > _MOST_QUBITS:
        raise ValueError(f"it holds a gate on {count} qubits")
    return value


def _check_expression(kind, value):
    """Sympy computes powers of numbers as it reads them, and takes text for numbers."""
    if kind != "sympy.Symbol" and any(isinstance(v, str) for k, v in value.items() if k != "cirq_type"):
        raise ValueError(f"it holds {kind} of a text")
    if kind == "sympy.Pow":
        base, exponent = value["args"] if isinstance(value.get("args"), list) and len(value["args"]) == 2 else (0, 0)
        numbers = [v for v in exponent.values() if isinstance(v, (int, float))] if isinstance(exponent, dict) else []
        nested = isinstance(base, dict) and base.get("cirq_type") in ("sympy.Pow", "sympy.Mul", "sympy.Add")
        if nested or not numbers or max(map(abs, numbers)) > _MOST_POWER:
            raise ValueError("it holds a power beyond those of gates")
