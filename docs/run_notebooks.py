"""Runs the tutorials and stores their outputs: python docs/run_notebooks.py"""

import os
import pathlib

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = sorted(pathlib.Path(__file__).parent.glob("notebooks/*.ipynb"))


def run(path, extra=""):
    """The notebook at `path`, executed in a new kernel from first cell to last.

    Args:
        path: A notebook.
        extra: Code for one cell more, which is not part of the result.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell raised; see its traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(extra))
    here = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources=here,
        record_timing=False,
    )
    client.execute(
        env={**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    )  # as in Jupyter
    notebook.cells.pop()
    # On stderr are TensorFlow's log, and warnings with the paths of this machine.
    for cell in notebook.cells:
        if "outputs" in cell:
            kept = [
                output for output in cell.outputs if output.get("name") != "stderr"
            ]
            cell.outputs = kept
    return notebook


if __name__ == "__main__":
    for path in NOTEBOOKS:
        nbformat.write(run(path), path)
        print(path.name)
