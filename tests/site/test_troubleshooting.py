"""The messages of this package that the troubleshooting page explains are messages that it raises."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
# A heading in backticks is how a message of this package begins, "…" where it varies.
MESSAGES = [a or b for a, b in re.findall(r"^### (?:`` (.*) ``|`([^`]+)`)$", PAGE, re.MULTILINE)]


def texts():
    """Every text in the package's source, "…" for what is filled in."""
    for path in (ROOT / "tfq_qrnn").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)


TEXTS = sorted(set(texts()))


def test_the_page_explains_messages():
    assert len(MESSAGES) > 10


@pytest.mark.parametrize("message", MESSAGES)
def test_what_is_explained_is_raised(message):
    """`argument_error(name, rule, ...)` begins with the name; the rest of the heading is how the rule begins."""
    argument = re.match(r"Argument `(\w+)` must ", message)
    begins = re.escape(message[argument.end() :] if argument else message).replace("…", ".+?")
    assert any(re.match(begins, text) for text in TEXTS)
    assert argument is None or argument[1] in TEXTS
