"""The wording of messages: Argument `name` must <rule>, but <what was given>; and of numbers in them."""


def argument_error(name, rule, given):
    return ValueError(f"Argument `{name}` must {rule}, but {given}.")


def argument_type_error(name, rule, value):
    return TypeError(f"Argument `{name}` must {rule}, but it is {shown(value)} of type {type(value).__name__}.")


def shown(value):
    """The repr of anything, for a message."""
    try:
        text = repr(value)
    except Exception:  # an integer of 5,000 digits, a repr of somebody's own
        return "a value that cannot be printed"
    return text if len(text) <= 200 else f"{text[:197]}..."


def counted(number, noun):
    """(1, "qubit") -> "1 qubit"; (1000, "shot") -> "1,000 shots"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def readable_bytes(count):
    """1536 -> "1.5 KiB"."""
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    count = min(int(count), 2**200)  # beyond, Python's floats overflow
    power = min((max(count, 1).bit_length() - 1) // 10, len(units) - 1)
    return f"{count / 1024**power:.3g} {units[power]}"
