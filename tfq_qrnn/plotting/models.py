"""Models in training and at work: learning curves and attention."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from tfq_qrnn._checks import check_choice
from tfq_qrnn._errors import argument_error
from tfq_qrnn.plotting.axes import on_axes

_SPREADS = {"range": "mean, least and greatest", "std": "mean ± standard deviation"}


@on_axes(size=(5, 3.5))
def learning_curves(
    histories: Mapping[str, ArrayLike], metric: str = "val_accuracy", spread: str = "range", ax: Axes | None = None
) -> Axes:
    """One metric over the epochs, a line per model.

    Args:
        histories: Name of a model -> its values per epoch, or a list of them, one per seed: then the line is their mean
            and a band shows their spread. The legend's title says which.
        metric: Label of the vertical axis.
        spread: "range", from the least to the greatest, or "std", one standard deviation (of a sample, over n - 1) to
            either side.

    >>> ax = learning_curves({"QRNN": [[0.5, 0.8], [0.6, 0.9]], "LSTM": [[0.4, 0.7], [0.4, 0.8]]}, spread="std")
    >>> ax.get_legend().get_title().get_text()
    'mean ± standard deviation of 2 seeds'
    """
    check_choice("spread", spread, tuple(_SPREADS))
    if not histories:
        raise argument_error("histories", "hold at least one model", "it is empty")
    seeds = set()
    for name, values in histories.items():
        try:
            values = np.atleast_2d(np.asarray(values, np.float64))
        except ValueError:
            rule = "give every seed of a model as many epochs"
            raise argument_error("histories", rule, f"those of {name!r} differ") from None
        epochs, mean = np.arange(1, values.shape[1] + 1), values.mean(0)
        (line,) = ax.plot(epochs, mean, marker=".", label=name)
        if len(values) > 1:
            seeds.add(len(values))
            deviation = values.std(0, ddof=1)
            low, high = (values.min(0), values.max(0)) if spread == "range" else (mean - deviation, mean + deviation)
            ax.fill_between(epochs, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    title = f"{_SPREADS[spread]} of {' or '.join(map(str, sorted(seeds)))} seeds" if seeds else None
    ax.set_xlabel("epoch")
    ax.set_ylabel(metric)
    ax.legend(fontsize="small", title=title, title_fontsize="x-small")


@on_axes(size=(1.8, 1.2), per_unit=(0.4, 0.35))
def attention(
    weights: ArrayLike,
    queries: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    index: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Attention weights as a map: a row per query, a column per key.

    Args:
        weights: `(Tq, Tv)` or `(batch, Tq, Tv)`, what an attention layer gives with `return_attention_scores`.
        queries: `Tq` names of the rows, such as tokens written. Fewer leave out the last rows, which are padding.
        keys: `Tv` names of the columns, such as tokens read; likewise.
        index: Which sequence of the batch.

    >>> readouts = tf.random.stateless_normal((1, 3, 6), seed=(0, 0))
    >>> _, weights = tfq_qrnn.QuantumAttention()([readouts, readouts], return_attention_scores=True)
    >>> ax = attention(weights, queries=["the", "small", "house"], keys=["das", "kleine", "Haus"])
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['das', 'kleine', 'Haus']
    """
    weights = np.asarray(weights)
    if weights.ndim == 3:
        if not -len(weights) <= index < len(weights):
            raise argument_error("index", f"be below the batch size, {len(weights)}", f"it is {index}")
        weights = weights[index]
    if weights.ndim != 2:
        raise argument_error("weights", "have shape (Tq, Tv) or (batch, Tq, Tv)", f"its shape is {weights.shape}")
    for name, labels, size in (("queries", queries, weights.shape[0]), ("keys", keys, weights.shape[1])):
        if labels is not None and not 0 < len(labels) <= size:
            raise argument_error(name, f"hold 1 to {size} names", f"it holds {len(labels)}")
    weights = weights[: None if queries is None else len(queries), : None if keys is None else len(keys)]
    rows, columns = weights.shape
    image = ax.imshow(weights, vmin=0, vmax=max(1e-12, float(weights.max())), cmap="Greys", aspect="auto")
    if keys is not None:
        ax.set_xticks(range(columns), list(keys), rotation=45, ha="left", rotation_mode="anchor")
        ax.xaxis.tick_top()
    else:
        ax.set_xlabel("key")
    if queries is not None:
        ax.set_yticks(range(rows), list(queries))
    else:
        ax.set_ylabel("query")
    ax.figure.colorbar(image, ax=ax, label="attention weight")
