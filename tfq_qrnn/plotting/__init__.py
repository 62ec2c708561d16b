"""Pictures, drawn with matplotlib; every function returns the axes it drew on.

Give axes, and pyplot is not touched; without, a new figure of pyplot's is made, which notebooks and `plt.show()` show.

>>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 3, 4), "float32"))
>>> tfq_qrnn.plotting.fidelities(trace).get_title()
'fidelity of two time steps'
"""

from tfq_qrnn.plotting.animation import animate
from tfq_qrnn.plotting.diagram import circuit
from tfq_qrnn.plotting.models import attention, learning_curves
from tfq_qrnn.plotting.monitor import MemoryMonitor
from tfq_qrnn.plotting.placement import placement
from tfq_qrnn.plotting.traces import (
    angles,
    bloch_vectors,
    class_averages,
    comparison,
    drift,
    entanglement_entropies,
    fidelities,
    memory,
    purities,
    readouts,
)

__all__ = [
    "MemoryMonitor",
    "angles",
    "animate",
    "attention",
    "bloch_vectors",
    "circuit",
    "class_averages",
    "comparison",
    "drift",
    "entanglement_entropies",
    "fidelities",
    "learning_curves",
    "memory",
    "placement",
    "purities",
    "readouts",
]
