"""What an editor completes, which reads the source and runs nothing, are the public names with their texts."""

import inspect

import jedi
import pytest

import tfq_qrnn


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return jedi.Project(tmp_path_factory.mktemp("elsewhere"))  # and not the clone


def test_public_names_are_completed_and_lead_to_what_is_documented(project):
    completed = {name.name for name in jedi.Script("import tfq_qrnn\ntfq_qrnn.", project=project).complete()}
    assert set(tfq_qrnn.__all__) <= completed
    for name in tfq_qrnn.__all__:
        value = getattr(tfq_qrnn, name)
        (found,) = jedi.Script(f"import tfq_qrnn\ntfq_qrnn.{name}", project=project).infer()
        wanted = value.__name__ if inspect.ismodule(value) else f"{value.__module__}.{value.__qualname__}"
        assert found.full_name == wanted
        assert found.docstring(raw=True).strip() == inspect.getdoc(value).strip()


def test_what_a_call_returns_is_completed(project):
    for call, attribute in (("trace(layer, x)", "entanglement_entropies"), ("HardwareEfficient(2)", "n_angles")):
        script = jedi.Script(f"import tfq_qrnn\ntfq_qrnn.{call}.", project=project)
        assert attribute in {name.name for name in script.complete()}
