"""Every message that the package can raise has its entry in docs/troubleshooting.md, and every entry its message."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
# The heading of an entry is how the message begins, "…" where it varies.
ENTRIES = [a or b for a, b in re.findall(r"^### (?:`` (.*) ``|`([^`]+)`)$", PAGE, re.MULTILINE)]
# Rules for whole families of messages, in the page's first table.
FAMILIES = re.findall(r"^\| `([^`]+)`", PAGE[: PAGE.index("\n## ")], re.MULTILINE)


def text_of(node, names):
    """A message as text, "…" for what is not known before it is raised."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
    if isinstance(node, ast.Name) and node.id in names:
        return text_of(names[node.id], {})
    return "…"


def messages(node, names):
    """The messages raised below a node of a module, with their lines; `names` holds what is assigned around it."""
    if isinstance(node, (ast.Module, ast.FunctionDef)):
        assigned = [n for n in node.body if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)]
        names = {**names, **{n.targets[0].id: n.value for n in assigned}}
    if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
        called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if called == "argument_error":
            yield node.lineno, f"Argument `{text_of(node.args[0], {})}` must {text_of(node.args[1], names)}"
        elif node.args and (called == "warn" or (called.endswith("Error") and called[0].isupper())):
            text = text_of(node.args[0], names)
            if text.strip("… "):
                yield node.lineno, text.splitlines()[0]
    for child in ast.iter_child_nodes(node):
        yield from messages(child, names)


PACKAGE = ROOT / "tfq_qrnn"
ALL = {
    f"{path.relative_to(PACKAGE)}:{line}": message
    for path in sorted(PACKAGE.rglob("*.py"))
    for line, message in messages(ast.parse(path.read_text()), {})
    if "` must …" not in message  # a check of _checks.py that is handed its rule
}


def explains(entry, message):
    """Whether the message begins as the entry says."""
    return re.match(re.escape(entry).replace("…", ".+?"), message) is not None


@pytest.mark.parametrize("where", ALL)
def test_every_message_has_an_entry(where):
    message = ALL[where]
    rule = message.partition("` must ")[2]
    documented = any(explains(entry, message) for entry in ENTRIES) or any(rule.startswith(f) for f in FAMILIES)
    assert documented, f"{where} raises {message!r}; docs/troubleshooting.md has no entry for it"


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_is_a_message(entry):
    assert any(explains(entry, message) for message in ALL.values())
