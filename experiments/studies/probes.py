"""Linear probes: ridge regression on what a view shows of a quantum memory."""

import itertools

import numpy as np

from experiments.late import late

(observables,) = late("tfq_qrnn.observables")

VIEWS = ("readouts", "pairs", "state")


def views(trace, step):
    """Per view, what a linear probe may use: Paulis on one qubit, on up to two, or the state, which gives them all."""
    states, n = trace.states[:, step], trace.program.n_qubits
    pairs = []
    for a, b in itertools.combinations(range(n), 2):
        for p, q in itertools.product("XYZ", repeat=2):
            index, phase = observables.pauli_action(((a, p), (b, q)), n)
            pairs.append(np.sum(states.conj() * phase * states[:, index], axis=-1).real)
    readouts = trace.readouts[:, step]
    return {"readouts": readouts, "pairs": np.concatenate([readouts, np.stack(pairs, 1)], 1), "state": states}


def kernel(rows, columns, view):
    """Inner products of what a view shows. For the state, Tr(rho sigma): that of all Paulis, over 2**n."""
    if view == "state":
        return np.abs(rows["state"].conj() @ columns["state"].T).astype(np.float64) ** 2
    return 1 + rows[view].astype(np.float64) @ columns[view].T.astype(np.float64)


def probe(kernels, targets):
    """Predictions for the test set; the penalty is the one that is best on the validation set."""
    train, validation, test = kernels
    mean = targets[0].mean(0)
    values, vectors = np.linalg.eigh(train)
    rotated = vectors.T @ (targets[0] - mean)
    best = None
    for penalty in 10.0 ** np.arange(-5, 3) * values.sum() / len(values):
        weights = vectors @ (rotated / (np.maximum(values, 0) + penalty)[:, None])
        error = np.mean((validation @ weights + mean - targets[1]) ** 2)
        if best is None or error < best[0]:
            best = error, weights
    return test @ best[1] + mean


def explained(truth, found):
    """R^2 of each column; NaN where nothing varies."""
    variance = truth.var(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 1e-4, 1 - ((truth - found) ** 2).mean(0) / variance, np.nan)
