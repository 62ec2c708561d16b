"""What a saved layer says of itself: the format of its config, and which version wrote it."""

from tfq_qrnn._errors import argument_error, argument_type_error, shown
from tfq_qrnn._version import __version__

FORMAT = 1  # of layers in `.keras` files; those that name none are of format 1


class Versioned:
    """A layer that names its format where it is saved, and refuses a newer one where it is loaded.

    Both stand in the build config, beside the shapes from which Keras builds a loaded layer: the keys of `get_config`
    are the constructor's arguments and no more.
    """

    def get_build_config(self):
        config = super().get_build_config()
        return config and {**config, "tfq_qrnn": {"format": FORMAT, "version": __version__}}

    def build_from_config(self, config):
        if not isinstance(config, dict):
            raise argument_type_error("config", "be a dict", config)
        written = config.get("tfq_qrnn", {"format": 1})
        written = written if isinstance(written, dict) else {}
        if written.get("format") not in range(1, FORMAT + 1):
            raise argument_error(
                "config",
                f"be of format {FORMAT} or older",
                f"that of {self.name} is of format {shown(written.get('format'))}, written by tfq_qrnn "
                f"{shown(written.get('version'))}: load it with that version, or a newer one",
            )
        super().build_from_config(config)
