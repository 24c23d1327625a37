"""How a layer spells the arguments of its constructor."""


def arguments(*values: object, **options: tuple[object, object]) -> str:
    """Join values and the options, given as ``name=(value, default)``, that are not at their defaults.

    Example:
        >>> arguments(3, 16, kernel_size=(3, None), stride=(1, 1))
        '3, 16, kernel_size=3'
    """
    changed = (f"{name}={value!r}" for name, (value, default) in options.items() if value != default)
    return ", ".join([*map(repr, values), *changed])
