"""Layers for images: convolutions, pooling, resizing, padding."""

import math

from minidl import layers
from minidl.layers.base import Layer
from minidl.training.explain.by_hand import images, products
from minidl.training.explain.entry import Entry
from minidl.training.explain.formulas.features import as_in_summary
from minidl.training.explain.seen import Call


def _of_inputs(call: Call) -> int:
    weight = call.layer.weight
    return int(math.prod(call.x.shape[:-1]) * weight.size)


def _mean(forward: str, pullback: str, taps: images.Axis, names: str = "") -> Entry:
    return Entry(forward, pullback, names, *images.spread(taps))


_MAX = (images.max_output, images.max_gradient)

IMAGES: dict[type[Layer], Entry] = {
    layers.Conv: Entry(
        "y_{p, o} = b_o + sum_{k, c} x_{p * s - a + k * d, c} W_{k, c, o}",
        "dx_{q, c} = sum_{k, o} dy_{p, o} W_{k, c, o} over all p with p * s - a + k * d = q\n"
        "dW_{k, c, o} = sum_{n, p} x_{p * s - a + k * d, c} dy_{p, o}, db_o = sum_{n, p} dy_{p, o}",
        "p is a place in the output, k one in the kernel, c and o are channels; s is the stride, a the "
        "padding before, d the dilation",
        products.conv_output,
        products.conv_gradient,
        as_in_summary,
    ),
    layers.ConvTranspose: Entry(
        "y_{q, o} = b_o + sum_{k, c} x_{p, c} W_{k, o, c} over all p with p * s - a + k * d = q",
        "dx_{p, c} = sum_{k, o} dy_{p * s - a + k * d, o} W_{k, o, c}\n"
        "dW_{k, o, c} = sum_{n, p} dy_{p * s - a + k * d, o} x_{p, c}, db_o = sum_{n, q} dy_{q, o}",
        "the adjoint of a convolution: each pixel p of the input spreads the kernel k over the output; s is "
        "the stride, a the padding before, d the dilation",
        products.conv_transpose_output,
        products.conv_transpose_gradient,
        _of_inputs,
    ),
    layers.MaxPool: Entry(
        "y_p = max of x over the window of p",
        "dx_q = sum_{p} dy_p over the windows whose first largest entry is q",
        "channel by channel; padding never wins",
        *_MAX,
    ),
    layers.GlobalMaxPool: Entry(
        "y_c = max_p x_{p, c}",
        "dx_{p, c} = dy_c at the first largest entry, else 0",
        "p runs over all pixels",
        *_MAX,
    ),
    layers.AvgPool: _mean(
        "y_p = mean of x over the window of p",
        "dx_q = sum_{p} dy_p / (size of the window) over the windows that see q",
        images.mean_windows,
        "channel by channel; padding counts as 0, or not at all with count_include_pad=False",
    ),
    layers.GlobalAvgPool: _mean(
        "y_c = mean_p x_{p, c}", "dx_{p, c} = dy_c / P", images.whole_axis, "P pixels"
    ),
    layers.AdaptiveAvgPool: _mean(
        "y_i = mean of x from pixel floor(i n / m) to below ceil((i + 1) n / m)",
        "dx_q = sum_{i} dy_i / (size of region i) over the regions with q",
        images.regions,
        "m outputs of n pixels along each axis",
    ),
    layers.Upsample: _mean(
        "y_i = sum_{q} A_{i, q} x_q",
        "dx_q = sum_{i} A_{i, q} dy_i",
        images.resized,
        "A is 1 for the nearest pixel, or says how near the two pixels on either side are, axis by axis",
    ),
    layers.Pad: _mean(
        "y_i = x_{i - before} inside, else the value, the edge or the mirror image",
        "dx_q = sum_{i} dy_i over the outputs that show pixel q",
        images.padded,
    ),
}
