"""BatchNorm with its running statistics, and LayerNorm."""

import pytest

from minidl import init, ops
from minidl.layers import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm, Sequential
from minidl.tensor import Tensor
from tests.either import np

RNG = np.random.default_rng(0)
SHAPES = [(6, 3), (4, 7, 3), (4, 5, 6, 3), (2, 3, 4, 2, 3)]


def randomised(layer):
    """The layer with a scale and shift that differ from one and zero."""
    layer.weight.data = RNG.normal(size=layer.weight.shape)
    layer.bias.data = RNG.normal(size=layer.bias.shape)
    return layer


def batch_norm(**options):
    return randomised(BatchNorm(3, dtype="float64", **options))


class TestBatchNorm:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_trains_on_the_statistics_of_the_batch(self, shape):
        layer, x, dy = batch_norm(eps=1e-3), RNG.normal(2, 3, size=shape), RNG.normal(size=shape)
        (y, _, _), pullback = ops.batch_norm(x, layer.weight.data, layer.bias.data, eps=1e-3)
        np.testing.assert_array_equal(layer.forward(x), y)
        dx, dw, db = pullback(dy)
        np.testing.assert_array_equal(layer.backward(dy), dx)
        np.testing.assert_array_equal(layer.weight.grad, dw)
        np.testing.assert_array_equal(layer.bias.grad, db)

    @pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0])
    @pytest.mark.parametrize("shape", SHAPES)
    def test_the_running_statistics_follow_as_in_torch(self, shape, momentum, torch):
        layer = batch_norm(momentum=momentum)
        theirs = torch.nn.BatchNorm1d(3, momentum=momentum, dtype=torch.float64)
        theirs.load_state_dict(
            {"weight": torch.tensor(layer.weight.data), "bias": torch.tensor(layer.bias.data)}, strict=False
        )
        for _ in range(4):
            x = RNG.normal(2, 3, size=shape)
            expected = theirs(torch.tensor(x.reshape(-1, 3)))
            np.testing.assert_allclose(layer.forward(x).reshape(-1, 3), expected.detach(), atol=1e-12)
        np.testing.assert_allclose(layer.running_mean.data, theirs.running_mean, rtol=1e-12)
        np.testing.assert_allclose(layer.running_var.data, theirs.running_var, rtol=1e-12)
        expected = theirs.eval()(torch.tensor(x.reshape(-1, 3)))
        np.testing.assert_allclose(layer.predict(x).reshape(-1, 3), expected.detach(), atol=1e-12)

    def test_without_a_momentum_the_statistics_are_the_mean_over_all_batches(self, torch):
        layer, theirs = batch_norm(momentum=None), torch.nn.BatchNorm1d(3, momentum=None, dtype=torch.float64)
        batches = RNG.normal(2, 3, size=(4, 6, 3))
        for x in batches:
            layer.forward(x)
            theirs(torch.tensor(x))
        np.testing.assert_allclose(layer.running_mean.data, batches.mean(axis=(0, 1)), rtol=1e-12)
        np.testing.assert_allclose(
            layer.running_var.data, batches.var(axis=1, ddof=1).mean(axis=0), rtol=1e-12
        )
        np.testing.assert_allclose(layer.running_var.data, theirs.running_var, rtol=1e-12)
        assert layer.batches.data == 4

    def test_the_count_of_batches_is_part_of_the_state(self):
        layer, x = batch_norm(momentum=None), RNG.normal(2, 3, size=(2, 6, 3))
        layer.forward(x[0])
        before = layer.state()
        layer.forward(x[1])
        after = layer.state()
        layer.load_state(before)
        layer.forward(x[1])
        assert "batches" in after
        for name, value in layer.state().items():
            np.testing.assert_array_equal(value, after[name])

    def test_the_running_variance_is_unbiased(self):
        layer, x = BatchNorm(2, momentum=1.0, dtype="float64"), RNG.normal(size=(5, 2))
        layer.forward(x)
        np.testing.assert_allclose(layer.running_mean.data, x.mean(axis=0))
        np.testing.assert_allclose(layer.running_var.data, x.var(axis=0, ddof=1))

    def test_evaluation_uses_the_running_statistics_and_has_gradients(self):
        layer = batch_norm()
        layer.running_mean.data, layer.running_var.data = RNG.normal(size=3), RNG.random(3)
        before, x = layer.state(), RNG.normal(size=(4, 3))
        y, pullback = ops.batch_norm_inference(
            x, layer.weight.data, layer.bias.data, mean=layer.running_mean.data, var=layer.running_var.data
        )
        layer.eval()
        np.testing.assert_array_equal(layer.forward(x), y)
        np.testing.assert_array_equal(layer.backward(x), pullback(x)[0])
        np.testing.assert_array_equal(layer.weight.grad, pullback(x)[1])
        np.testing.assert_array_equal(layer.train().predict(x), y)
        for name, value in layer.state().items():
            np.testing.assert_array_equal(value, before[name])

    def test_predict_never_touches_the_mode_or_the_statistics(self):
        layer, x = batch_norm(), RNG.normal(size=(4, 3))
        model = Sequential(layer)
        before = model.state()
        model.predict(x)
        assert layer.training
        for name, value in model.state().items():
            np.testing.assert_array_equal(value, before[name])

    def test_statistics_advance_once_for_each_vjp_and_never_in_a_pullback(self):
        layer, x = batch_norm(momentum=0.5), RNG.normal(4, 1, size=(6, 3))
        _, pullback = layer.vjp(x)
        once = layer.running_mean.data.copy()
        np.testing.assert_allclose(once, x.mean(axis=0) / 2)
        pullback(x)
        pullback(x)
        np.testing.assert_array_equal(layer.running_mean.data, once)
        layer(Tensor(x))
        np.testing.assert_allclose(layer.running_mean.data, x.mean(axis=0) * 3 / 4)

    def test_restoring_the_state_repeats_the_call(self):
        layer, x = batch_norm(), RNG.normal(size=(6, 3))
        before = layer.state()
        y = layer.forward(x)
        after = layer.state()
        layer.load_state(before)
        np.testing.assert_array_equal(layer.forward(x), y)
        for name, value in layer.state().items():
            np.testing.assert_array_equal(value, after[name])

    def test_frozen_parameters_let_statistics_and_input_gradients_through(self):
        layer, x = batch_norm().freeze(), RNG.normal(4, 1, size=(6, 3))
        before = layer.running_mean.data.copy()
        layer.forward(x)
        assert np.abs(layer.backward(x)).max() > 0
        assert layer.weight.grad is None
        assert not np.array_equal(layer.running_mean.data, before)

    def test_no_samples_leave_the_statistics_alone(self):
        layer = batch_norm()
        layer.forward(RNG.normal(4, 1, size=(6, 3)))
        before = layer.state()
        assert layer.forward(np.zeros((0, 5, 3))).shape == (0, 5, 3)
        assert layer.backward(np.zeros((0, 5, 3))).shape == (0, 5, 3)
        for name, value in layer.state().items():
            np.testing.assert_array_equal(value, before[name])

    def test_m21_a_batch_of_one_works_in_evaluation_and_is_an_error_in_training(self):
        layer, x = batch_norm(), RNG.normal(size=(1, 3))
        before = layer.state()
        with pytest.raises(ValueError, match="batch_norm: expected more than one value") as caught:
            layer.forward(x)
        assert caught.value.__notes__ == ["in BatchNorm(3)"]
        for name, value in layer.state().items():
            np.testing.assert_array_equal(value, before[name])
        layer.predict(x)
        layer.eval().forward(x)
        layer.train().forward(RNG.normal(size=(1, 4, 4, 3)))

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_m17_dtypes(self, dtype):
        layer, x = BatchNorm(3, dtype=dtype), RNG.normal(size=(6, 3)).astype(dtype)
        assert layer.forward(x).dtype == layer.backward(x).dtype == layer.weight.grad.dtype == dtype
        assert layer.predict(x).dtype == dtype
        assert (
            layer.running_mean.data.dtype == layer.running_var.data.dtype == np.result_type(dtype, "float32")
        )

    def test_statistics_return_to_single_precision_in_a_model_made_half(self):
        layer = BatchNorm(2).astype("float16")
        layer.forward(np.linspace(-1000, 1000, 64, dtype="float16").reshape(32, 2))
        assert layer.running_var.data.dtype == np.float32
        assert np.isfinite(layer.running_var.data).all()

    def test_is_sample_wise_in_evaluation_only(self):
        layer = BatchNorm(3)
        assert not layer.sample_wise
        assert layer.eval().sample_wise

    def test_the_scale_can_be_given(self):
        np.testing.assert_array_equal(BatchNorm(3, weight_init=init.zeros).weight.data, np.zeros(3))
        same = [BatchNorm(3, weight_init=init.normal(1.0), seed=1).weight.data for _ in range(2)]
        np.testing.assert_array_equal(*same)

    def test_names(self):
        assert [name for name, _ in BatchNorm(3).named_parameters()] == ["weight", "bias"]
        assert [name for name, _ in BatchNorm(3).buffers()] == ["running_mean", "running_var"]
        assert repr(BatchNorm(3)) == "BatchNorm(3)"
        assert repr(BatchNorm(3, momentum=None)) == "BatchNorm(3, momentum=None)"
        assert repr(BatchNorm(3, eps=1e-3, momentum=0.5)) == "BatchNorm(3, eps=0.001, momentum=0.5)"


class TestLayerNorm:
    @pytest.mark.parametrize("normalized", [3, (3,), (5, 3), (4, 5, 3)])
    def test_is_its_operation(self, normalized):
        layer, x = randomised(LayerNorm(normalized, eps=1e-3, dtype="float64")), RNG.normal(size=(2, 4, 5, 3))
        y, pullback = ops.layer_norm(
            x, layer.weight.data, layer.bias.data, normalized_shape=layer.weight.shape, eps=1e-3
        )
        np.testing.assert_array_equal(layer.forward(x), y)
        dx, dw, db = pullback(x)
        np.testing.assert_array_equal(layer.backward(x), dx)
        np.testing.assert_array_equal(layer.weight.grad, dw)
        np.testing.assert_array_equal(layer.bias.grad, db)
        np.testing.assert_array_equal(layer.predict(x), y)

    def test_agrees_with_torch(self, torch):
        layer, x = LayerNorm((4, 3)), RNG.normal(2, 3, size=(5, 4, 3)).astype("float32")
        theirs = torch.nn.LayerNorm((4, 3))(torch.tensor(x)).detach()
        np.testing.assert_allclose(layer.forward(x), theirs, atol=1e-6)

    def test_names(self):
        assert [name for name, _ in LayerNorm(3).named_parameters()] == ["weight", "bias"]
        assert repr(LayerNorm(3)) == "LayerNorm(3)"
        assert repr(LayerNorm((4, 3), eps=1e-3)) == "LayerNorm((4, 3), eps=0.001)"
        assert LayerNorm(3).sample_wise


LAYERS = [
    (GroupNorm(2, 6, eps=1e-3, dtype="float64"), ops.group_norm, {"groups": 2}, "GroupNorm(2, 6, eps=0.001)"),
    (InstanceNorm(6, eps=1e-3, dtype="float64"), ops.instance_norm, {}, "InstanceNorm(6, eps=0.001)"),
    (
        RMSNorm(6, eps=1e-3, dtype="float64"),
        ops.rms_norm,
        {"normalized_shape": (6,)},
        "RMSNorm(6, eps=0.001)",
    ),
    (
        RMSNorm((4, 6), eps=1e-3, dtype="float64"),
        ops.rms_norm,
        {"normalized_shape": (4, 6)},
        "RMSNorm((4, 6), eps=0.001)",
    ),
]


@pytest.mark.parametrize(("layer", "op", "options", "text"), LAYERS)
def test_a_layer_is_its_operation(layer, op, options, text):
    x, dy = RNG.normal(2, 3, size=(2, 5, 4, 6)), RNG.normal(size=(2, 5, 4, 6))
    for p in layer.parameters():
        p.data = RNG.normal(size=p.shape)
    y, pullback = op(x, *(p.data for p in layer.parameters()), **options, eps=1e-3)
    np.testing.assert_array_equal(layer.forward(x), y)
    np.testing.assert_array_equal(layer.backward(dy), pullback(dy)[0])
    for p, gradient in zip(layer.parameters(), pullback(dy)[1:], strict=True):
        np.testing.assert_array_equal(p.grad, gradient)
    np.testing.assert_array_equal(layer.predict(x), y)
    assert repr(layer) == text
    assert layer.sample_wise


def test_fresh_layers_only_normalise():
    x = RNG.normal(2, 3, size=(2, 5, 6)).astype("float32")
    np.testing.assert_array_equal(GroupNorm(2, 6).forward(x), ops.group_norm(x, groups=2)[0])
    np.testing.assert_array_equal(InstanceNorm(6).forward(x), ops.instance_norm(x)[0])
    np.testing.assert_array_equal(RMSNorm(6).forward(x), ops.rms_norm(x, normalized_shape=(6,))[0])


class TestBadInput:
    @pytest.mark.parametrize("groups", [0, -1, 4, 12])
    def test_groups_that_do_not_divide(self, groups):
        with pytest.raises(
            ValueError, match=f"GroupNorm: expected num_groups that divide the 6 features, got {groups}"
        ):
            GroupNorm(groups, 6)

    def test_m21_an_instance_of_one_position(self):
        with pytest.raises(ValueError, match="instance_norm: expected more than one value") as caught:
            InstanceNorm(6).forward(np.zeros((4, 1, 1, 6), dtype="float32"))
        assert caught.value.__notes__ == ["in InstanceNorm(6)"]

    @pytest.mark.parametrize("bad", [0, -1, 2.5, "3"])
    def test_features(self, bad):
        with pytest.raises(ValueError, match="BatchNorm: expected positive ints to normalise over, got"):
            BatchNorm(bad)
        with pytest.raises(ValueError, match="LayerNorm: expected positive ints to normalise over, got"):
            LayerNorm((4, bad))

    @pytest.mark.parametrize("eps", [0, -1.0, float("nan")])
    def test_eps(self, eps):
        with pytest.raises(ValueError, match="LayerNorm: expected a finite eps > 0, got"):
            LayerNorm(3, eps=eps)

    @pytest.mark.parametrize("momentum", [-0.1, 1.1, float("nan")])
    def test_momentum(self, momentum):
        with pytest.raises(ValueError, match=r"BatchNorm: expected momentum in \[0, 1\] or None, got"):
            BatchNorm(3, momentum=momentum)

    def test_a_float64_input_into_a_float32_layer(self):
        for layer in (BatchNorm(3), LayerNorm(3)):
            with pytest.raises(
                TypeError, match=r"expected float32 like the weights, got float64; use minidl.asarray"
            ):
                layer.forward(np.zeros((4, 3)))


def test_a_layer_that_could_never_run_is_refused():
    for shape in (1, (1,), (1, 1)):
        with pytest.raises(
            ValueError, match="LayerNorm: expected more than one value to normalise over, got"
        ):
            LayerNorm(shape)
