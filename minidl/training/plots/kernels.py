"""What the first filters of a network look like."""

import math
from typing import TYPE_CHECKING

import numpy as np

from minidl.backend import Array, to_numpy
from minidl.files import PathLike
from minidl.layers.base import Layer
from minidl.layers.conv import Conv
from minidl.training.plots.drawing import new_figure, saved

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TILES = 64
MOST_CHANNELS = 16


def filters(model: Layer, path: "PathLike | None" = None) -> "Figure":
    """Draw the kernels of a convolution, or of the first one in a model.

    Kernels over three channels are drawn in colour, where grey is 0. All others have a tile for each channel.

    Args:
        model: a `Conv` over one or two axes, or a model with one in it.
        path: where to write the picture, its kind by its ending.

    Raises:
        TypeError: there is no such convolution.

    Example:
        >>> print(filters(Conv(3, 16, kernel_size=5)).get_suptitle())
        Kernels of Conv(3, 16, kernel_size=5)
        grey is 0
    """
    place, layer = _first_convolution(model)
    weight = to_numpy(layer.weight.data).astype("float32")
    if weight.ndim == 3:
        weight = weight.swapaxes(0, 1)[:, :, None]  # over one axis: a row for each channel
    limit = float(abs(weight).max()) or 1.0
    channels, count = weight.shape[2:]
    if colour := channels == 3:
        tiles = [0.5 + weight[..., i] / (2 * limit) for i in range(min(count, MOST_TILES))]
    else:
        across = min(channels, MOST_CHANNELS)
        tiles = [weight[..., j, i] for i in range(min(count, MOST_TILES // across)) for j in range(across)]
    columns = across if channels not in (1, 3) else math.ceil(math.sqrt(1.6 * len(tiles)))
    title = _title(place, layer, len(tiles), channels, count)
    canvas = _side_by_side(tiles, columns)
    width = max(0.7 * columns + 0.3, 0.5 + 0.08 * max(map(len, title.splitlines())))
    figure = new_figure(width, 0.7 * -(-len(tiles) // columns) + 0.3 + 0.2 * len(title.splitlines()))
    axes = figure.subplots()
    axes.set_axis_off()
    picture = axes.imshow(canvas, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    if not colour:
        figure.colorbar(picture, ax=axes, label="weight", shrink=0.8)
    figure.suptitle(title, fontsize=10)
    return saved(figure, path)


def _side_by_side(tiles: list[Array], columns: int) -> Array:
    """Return one picture of many, row by row, with a white line between them."""
    height, width, *colours = tiles[0].shape
    rows = -(-len(tiles) // columns)
    shape = (rows * (height + 1) - 1, columns * (width + 1) - 1, *colours)
    canvas = np.full(shape, 1.0 if colours else math.nan, np.float32)  # no colour is drawn for NaN
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        y, x = row * (height + 1), column * (width + 1)
        canvas[y : y + height, x : x + width] = tile
    return canvas


def _first_convolution(model: object) -> tuple[str, Conv]:
    """Return the first convolution in a model over one or two axes, and the path to it."""
    for path, layer in model.named_layers() if isinstance(model, Layer) else ():
        if isinstance(layer, Conv) and layer.weight.data.ndim <= 4:
            return path, layer
    raise TypeError(
        f"filters: expected a Conv over one or two axes, or a model with one, got {type(model).__name__}"
    )


def _title(path: str, layer: Conv, shown: int, channels: int, count: int) -> str:
    """Say what is seen, and how much is not."""
    title = f"Kernels of layer {path}\n{layer!r}" if path else f"Kernels of {layer!r}"
    if channels not in (1, 3):
        columns = min(channels, MOST_CHANNELS)
        rows = shown // columns
        return f"{title}\nrows: filters 1-{rows} of {count}; columns: channels 1-{columns} of {channels}"
    remarks = ["grey is 0"] if channels == 3 else []
    remarks += ["rows: channels; columns: taps"] if layer.weight.data.ndim == 3 else []
    remarks += [f"the first {shown} of {count}"] if shown < count else []
    return "\n".join([title, *filter(None, ["; ".join(remarks)])])
