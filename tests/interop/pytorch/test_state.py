"""A network has the outputs of its PyTorch twin, whichever way the weights went, and by whatever road."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.interop import load_torch_state, save_torch_state, torch_state
from minidl.interop.pytorch.layouts import KINDS
from minidl.layers import Dropout
from tests.conformance.layer_rows import LAYERS
from tests.conformance.sides import first, tensor, together
from tests.either import on_host
from tests.interop.pytorch import chains
from tests.interop.pytorch.nets import NETS, assert_close, ours, shuffled, tensors, theirs

RNG = np.random.default_rng(0)
WITH_WEIGHTS = sorted(kind.__name__ for kind in KINDS if kind.__name__ in LAYERS and kind is not Dropout)


@pytest.fixture(params=NETS)
def net(request, torch):
    """Our network, PyTorch's with random weights, and inputs."""
    make, their_make, inputs = NETS[request.param]
    return make(), shuffled(their_make(torch)), inputs(RNG)


def test_their_weights_give_their_outputs(torch, net) -> None:
    model, module, x = net
    load_torch_state(model, module.state_dict())
    assert_close(ours(model, x), theirs(torch, module, x))


def test_our_weights_give_our_outputs_there(torch, net) -> None:
    model, module, x = net
    state = torch_state(model, like=module.state_dict())
    module.load_state_dict(tensors(torch, state), strict=True)
    assert_close(theirs(torch, module, x), ours(model, x))


def test_what_goes_in_comes_out(torch, net) -> None:
    model, module, _ = net
    state = module.state_dict()
    load_torch_state(model, state)
    found = torch_state(model, like=state)
    assert list(found) == list(state)
    for name, array in found.items():
        np.testing.assert_array_equal(array, state[name].numpy(), err_msg=name)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_files_go_both_ways(torch, net, tmp_path, suffix) -> None:
    from safetensors.torch import load_file, save_file

    model, module, x = net
    state, path = module.state_dict(), tmp_path / f"theirs.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(state, path)
    names = list(state) if suffix == "safetensors" else None  # such a file is sorted
    load_torch_state(model, path, names=names)
    assert_close(ours(model, x), theirs(torch, module, x))

    back = tmp_path / f"ours.{suffix}"
    save_torch_state(model, back, like=path, names=names)
    found = load_file(back) if suffix == "safetensors" else torch.load(back, weights_only=True)
    other = shuffled(module, seed=1)
    other.load_state_dict(found, strict=True)
    assert_close(theirs(torch, other, x), ours(model, x))


@pytest.mark.parametrize("name", WITH_WEIGHTS)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_a_layer_of_any_settings_goes_both_ways(torch, name, data, seed) -> None:
    row = LAYERS[name]
    settings, shape = data.draw(row.drawn)
    rng = np.random.default_rng(seed)
    inputs = row.inputs(rng, shape, settings)
    layer = row.ours(**settings)
    module = shuffled(row.theirs(torch.nn, inputs[0].ndim - 2, **settings).double(), seed)
    load_torch_state(layer, module.state_dict())
    y = layer.eval().predict(together(inputs))
    expected = row.call(module, settings, *(tensor(torch, first(row, a)) for a in inputs))
    for part, other in zip(*(y if isinstance(y, tuple) else (y,) for y in (y, expected)), strict=True):
        found = on_host(first(row, part))
        np.testing.assert_allclose(found, other.detach().numpy(), rtol=1e-9, atol=1e-9)
    for key, array in torch_state(layer).items():
        np.testing.assert_array_equal(array, module.state_dict()[key].numpy(), err_msg=key)
    module.load_state_dict(tensors(torch, torch_state(layer)), strict=True)


@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_a_chain_of_any_layers_goes_both_ways(torch, data, seed) -> None:
    model, module, shape = chains.drawn(torch, data.draw)
    x = np.random.default_rng(seed).normal(size=(2, *shape))
    state = shuffled(module, seed).state_dict()
    load_torch_state(model, state)
    first = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
    expected = module(first).detach().numpy()
    np.testing.assert_allclose(ours(model, x), expected, rtol=1e-9, atol=1e-9 * abs(expected).max())
    found = torch_state(model, like=state)
    assert list(found) == list(state)
    for name, array in found.items():
        np.testing.assert_array_equal(array, state[name].numpy(), err_msg=name)
