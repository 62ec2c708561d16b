"""What the site needs beside MkDocs and its plugins.

Notebooks become pages, as they are stored, outputs included. Equations become
MathML, which browsers draw by themselves: no script of another host is needed.
"""

import html
import pathlib
import re

from latex2mathml.converter import convert
from mkdocs.structure.files import File
from nbconvert import MarkdownExporter
from traitlets.config import Config

_NAMES = Config()
_NAMES.ExtractOutputPreprocessor.output_filename_template = (
    "{unique_key}_{cell_index}_{index}{extension}"
)


def on_config(config):
    """Show the version. It is read: importing the package would take TensorFlow."""
    source = pathlib.Path(__file__).parents[1] / "tfq_qrnn" / "_version.py"
    version = re.search(r'__version__ = "(.+)"', source.read_text())[1]
    config.site_name = f"{config.site_name} {version}"
    return config


def on_files(files, config):
    """Add a page, and the pictures on it, for every notebook."""
    exporter = MarkdownExporter(config=_NAMES)
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        path = pathlib.PurePosixPath(notebook.src_uri)
        body, resources = exporter.from_filename(
            notebook.abs_src_path, resources={"unique_key": path.stem}
        )
        title, rest = body.split("\n", 1)
        file = f'[{path.name}]({path.name} "the file")'
        link = f"*This page is a notebook: {file}, stored with its outputs.*"
        page = File.generated(
            config,
            str(path.with_suffix(".md")),
            content=f"{title}\n\n{link}\n{rest}",
        )
        files.append(page)
        for name, data in resources["outputs"].items():
            files.append(
                File.generated(config, str(path.with_name(name)), content=data)
            )
    return files


def on_page_markdown(markdown, page, config, files):
    """Links to notebooks lead to their pages."""
    return re.sub(r"\]\(([\w./]+)\.ipynb\)", r"](\1.md)", markdown)


def on_page_content(content, page, config, files):
    """Replace the formulas that pymdownx.arithmatex marked by MathML."""
    content = re.sub(
        r'<span class="arithmatex">\\\((.*?)\\\)</span>',
        _formula("inline"),
        content,
        flags=re.DOTALL,
    )
    return re.sub(
        r'<div class="arithmatex">\\\[(.*?)\\\]</div>',
        _formula("block"),
        content,
        flags=re.DOTALL,
    )


def _formula(display):
    return lambda match: convert(
        html.unescape(match.group(1)).strip(), display=display
    )
