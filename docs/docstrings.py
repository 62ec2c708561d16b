"""Docstrings as the API needs them: Markdown takes `>>>` for a quotation."""

import re

import griffe


class Docstrings(griffe.Extension):
    """Fences examples, from `>>>` to the next blank line.

    "Call arguments", a section of Keras's, becomes a list.
    """

    def on_instance(self, *, obj, **kwargs):
        if obj.docstring is not None:
            text = re.sub(
                r"^>>> .*(?:\n.+)*",
                r"```pycon\n\g<0>\n```",
                obj.docstring.value,
                flags=re.MULTILINE,
            )
            obj.docstring.value = re.sub(
                "^Call arguments:$",
                "Args: Call arguments:",
                text,
                flags=re.MULTILINE,
            )
