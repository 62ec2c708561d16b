"""What the package offers is seen by tools that read it and do not run it."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[2] / "tfq_qrnn"
INITS = sorted(path for path in PACKAGE.rglob("__init__.py") if "__all__" in path.read_text())


@pytest.mark.parametrize("path", INITS, ids=lambda path: path.parent.name)
def test_public_names_are_imported_by_name_at_the_top(path):
    imported, public = set(), None
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imported |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            public = set(ast.literal_eval(node.value))
    assert public
    assert public <= imported
    assert (PACKAGE / "py.typed").exists()
