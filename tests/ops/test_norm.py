"""Normalisation: batch norm over all axes but the last, layer norm over the last axes."""

import functools
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.ops.norm import (
    batch_norm,
    batch_norm_inference,
    group_norm,
    instance_norm,
    layer_norm,
    rms_norm,
)
from tests.either import np
from tests.numerics import assert_pullback

SHAPES = [(5, 3), (2, 7, 3), (3, 4, 5, 2), (2, 3, 2, 2, 4), (257, 3)]


def drawn(shape, seed=0):
    """An input far from mean 0 and variance 1, a scale and a shift of its channels."""
    rng = np.random.default_rng(seed)
    channels = shape[-1:]
    return rng.normal(3, 2, size=shape), rng.normal(size=channels), rng.normal(size=channels)


def normalised_column(column, eps):
    """Mean 0 and variance 1, by loops over Python floats."""
    values = [float(v) for v in column]
    mean = sum(values) / len(values)
    var = sum((v - mean) ** 2 for v in values) / len(values)
    return [(v - mean) / math.sqrt(var + eps) for v in values], mean, var


def normalised_values(x, w, b, *, eps=1e-5):
    (y, _, _), pullback = batch_norm(x, w, b, eps=eps)
    return y, pullback


class TestBatchNorm:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_equals_loops_over_channels(self, shape):
        x, w, b = drawn(shape)
        (y, mean, var), _ = batch_norm(x, w, b, eps=1e-3)
        for c in range(shape[-1]):
            z, m, v = normalised_column(x[..., c].ravel(), 1e-3)
            np.testing.assert_allclose(y[..., c].ravel(), np.multiply(z, w[c]) + b[c], rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose([mean[c], var[c]], [m, v], rtol=1e-12)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_gradients(self, shape):
        assert_pullback(normalised_values, *drawn(shape))

    @pytest.mark.parametrize("shape", SHAPES[:3])
    def test_gradients_of_the_inference(self, shape):
        x, w, b = drawn(shape)
        mean, var = x[0].reshape(-1, shape[-1])[0], abs(x[1].reshape(-1, shape[-1])[0])
        assert_pullback(functools.partial(batch_norm_inference, mean=mean, var=var), x, w, b)

    def test_the_inference_with_the_statistics_of_the_batch_is_the_training_value(self):
        x, w, b = drawn((6, 5, 3))
        (y, mean, var), _ = batch_norm(x, w, b, eps=1e-5)
        np.testing.assert_allclose(
            batch_norm_inference(x, w, b, mean=mean, var=var, eps=1e-5)[0], y, rtol=1e-12
        )

    @given(shift=st.floats(-100, 100), scale=st.floats(0.1, 100))
    def test_does_not_see_the_shift_and_scale_of_its_input(self, shift, scale):
        x, w, b = drawn((50, 3))
        same = normalised_values(x * scale + shift, w, b, eps=1e-12)[0]
        np.testing.assert_allclose(same, normalised_values(x, w, b, eps=1e-12)[0], rtol=1e-7, atol=1e-7)

    def test_the_input_gradient_is_orthogonal_to_shift_and_scale(self):
        x, w, b = drawn((9, 4, 3))
        y, pullback = normalised_values(x, w, b, eps=1e-12)
        dx, _, _ = pullback(np.random.default_rng(1).normal(size=y.shape))
        centred = x - x.mean(axis=(0, 1))
        np.testing.assert_allclose(dx.sum(axis=(0, 1)), 0, atol=1e-12)
        np.testing.assert_allclose((dx * centred).sum(axis=(0, 1)), 0, atol=1e-10)

    def test_agrees_with_torch(self, torch):
        x, w, b = drawn((4, 5, 6, 3))
        (y, mean, var), pullback = batch_norm(x, w, b, eps=1e-3)
        leaves = [torch.tensor(a, requires_grad=True) for a in (np.moveaxis(x, -1, 1), w, b)]
        running = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
        theirs = torch.nn.functional.batch_norm(
            leaves[0], *running, leaves[1], leaves[2], training=True, momentum=1.0, eps=1e-3
        )
        dy = np.random.default_rng(1).normal(size=y.shape)
        theirs.backward(torch.tensor(np.moveaxis(dy, -1, 1)))
        np.testing.assert_allclose(y, np.moveaxis(theirs.detach().numpy(), 1, -1), atol=1e-12)
        np.testing.assert_allclose(mean, running[0], rtol=1e-12)
        np.testing.assert_allclose(var * 120 / 119, running[1], rtol=1e-12)
        dx, dw, db = pullback(dy)
        np.testing.assert_allclose(dx, np.moveaxis(leaves[0].grad.numpy(), 1, -1), atol=1e-12)
        np.testing.assert_allclose(dw, leaves[1].grad, rtol=1e-10)
        np.testing.assert_allclose(db, leaves[2].grad, rtol=1e-10)

    def test_m13_the_gradients_of_scale_and_shift_are_sums(self):
        x, w, b = drawn((8, 3))
        y, pullback = normalised_values(x, w, b)
        _, dw, db = pullback(np.ones_like(y) * y)
        np.testing.assert_allclose(db, y.sum(axis=0))
        np.testing.assert_allclose(dw, (y * (y - b) / w).sum(axis=0))

    def test_without_scale_and_shift(self):
        x, w, b = drawn((6, 3))
        y, pullback = normalised_values(x, None, None)
        np.testing.assert_array_equal(y, normalised_values(x, np.ones_like(w), np.zeros_like(b))[0])
        dx, dw, db = pullback(y)
        assert dw is None
        assert db is None
        np.testing.assert_allclose(dx, normalised_values(x, np.ones_like(w), None)[1](y)[0])
        mean, var = x.mean(axis=0), x.var(axis=0)
        _, dw, db = batch_norm_inference(x, mean=mean, var=var)[1](y)
        assert dw is None
        assert db is None

    @pytest.mark.parametrize(
        "op", [normalised_values, functools.partial(batch_norm_inference, mean=np.zeros(3), var=np.ones(3))]
    )
    def test_the_input_gradient_can_be_refused(self, op):
        x, w, b = drawn((6, 3))
        y, pullback = op(x, w, b)
        dx, dw, db = pullback(y, input_grad=False)
        assert dx is None
        np.testing.assert_array_equal(dw, pullback(y)[1])
        np.testing.assert_array_equal(db, pullback(y)[2])

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_m17_keeps_the_dtype_and_takes_statistics_in_single_precision(self, dtype):
        x, w, b = (a.astype(dtype) for a in drawn((40, 3)))
        (y, mean, var), pullback = batch_norm(x, w, b)
        assert {a.dtype for a in (y, *pullback(y))} == {np.dtype(dtype)}
        assert mean.dtype == var.dtype == np.result_type(dtype, "float32")
        exact = normalised_values(*(a.astype("float64") for a in (x, w, b)))[0]
        np.testing.assert_allclose(y, exact, atol=20 * np.finfo(dtype).eps)
        y, pullback = batch_norm_inference(x, w, b, mean=mean, var=var)
        assert {a.dtype for a in (y, *pullback(y))} == {np.dtype(dtype)}
        np.testing.assert_allclose(y, exact, atol=20 * np.finfo(dtype).eps)

    def test_half_precision_does_not_overflow_in_the_variance(self):
        x = np.linspace(-1000, 1000, 32, dtype="float16")[:, None]
        (y, _, var), _ = batch_norm(x)
        assert var[0] > np.finfo("float16").max
        np.testing.assert_allclose(y.astype("float64").std(), 1, rtol=1e-3)

    def test_many_values_far_from_zero_keep_their_precision(self):
        x = np.random.default_rng(0).normal(100, 1, size=(200_001, 2)).astype("float32")
        (y, mean, var), _ = batch_norm(x)
        exact = x.astype("float64")
        np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(var, exact.var(axis=0), rtol=1e-5)
        np.testing.assert_allclose(y.mean(axis=0, dtype="float64"), 0, atol=1e-4)

    def test_strides_do_not_matter(self):
        x, w, b = drawn((6, 8, 3))
        strided = np.asfortranarray(x)[:, ::2]
        np.testing.assert_array_equal(
            normalised_values(strided, w, b)[0], normalised_values(np.ascontiguousarray(strided), w, b)[0]
        )

    def test_a_constant_channel_becomes_its_shift(self):
        y, pullback = normalised_values(np.full((4, 2), 7.0), np.ones(2), np.array([1.0, -1.0]))
        np.testing.assert_array_equal(y, np.broadcast_to([1.0, -1.0], (4, 2)))
        assert np.isfinite(pullback(np.arange(8.0).reshape(4, 2))[0]).all()

    def test_no_samples_give_no_rows_and_zero_gradients(self):
        (y, mean, var), pullback = batch_norm(np.zeros((0, 4, 3)), np.ones(3), np.zeros(3))
        assert y.shape == (0, 4, 3)
        np.testing.assert_array_equal([mean, var], np.zeros((2, 3)))
        dx, dw, db = pullback(y)
        assert dx.shape == (0, 4, 3)
        np.testing.assert_array_equal([dw, db], np.zeros((2, 3)))

    def test_nan_stays_in_its_channel(self):
        x, w, b = drawn((4, 3))
        x[1, 1] = np.nan
        np.testing.assert_array_equal(
            np.isnan(normalised_values(x, w, b)[0]), np.broadcast_to([False, True, False], (4, 3))
        )


class TestLayerNorm:
    @pytest.mark.parametrize("trailing", [1, 2, 3])
    def test_equals_loops_over_samples(self, trailing):
        rng = np.random.default_rng(0)
        x = rng.normal(3, 2, size=(2, 3, 4, 5))
        shape = x.shape[-trailing:]
        w, b = rng.normal(size=shape), rng.normal(size=shape)
        y, _ = layer_norm(x, w, b, normalized_shape=shape, eps=1e-3)
        for row, found in zip(x.reshape(-1, w.size), y.reshape(-1, w.size), strict=True):
            expected = np.reshape(normalised_column(row, 1e-3)[0], shape) * w + b
            np.testing.assert_allclose(found.reshape(shape), expected, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("trailing", [1, 2])
    def test_gradients(self, trailing):
        rng = np.random.default_rng(0)
        x = rng.normal(3, 2, size=(3, 4, 5))
        shape = x.shape[-trailing:]
        op = functools.partial(layer_norm, normalized_shape=shape)
        assert_pullback(op, x, rng.normal(size=shape), rng.normal(size=shape))

    def test_agrees_with_torch(self, torch):
        rng = np.random.default_rng(0)
        x, w, b = rng.normal(3, 2, size=(6, 4, 5)), rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
        y, pullback = layer_norm(x, w, b, normalized_shape=(4, 5), eps=1e-3)
        leaves = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
        theirs = torch.nn.functional.layer_norm(leaves[0], (4, 5), *leaves[1:], eps=1e-3)
        dy = rng.normal(size=y.shape)
        theirs.backward(torch.tensor(dy))
        np.testing.assert_allclose(y, theirs.detach(), atol=1e-12)
        for gradient, leaf in zip(pullback(dy), leaves, strict=True):
            np.testing.assert_allclose(gradient, leaf.grad, atol=1e-12)

    def test_a_batch_equals_its_rows(self):
        x, w, b = drawn((6, 5))
        whole = layer_norm(x, w, b, normalized_shape=(5,))[0]
        rows = [layer_norm(x[i : i + 1], w, b, normalized_shape=(5,))[0] for i in range(6)]
        np.testing.assert_array_equal(whole, np.concatenate(rows))

    def test_without_scale_and_shift_and_without_input_gradient(self):
        x, w, b = drawn((6, 5))
        y, pullback = layer_norm(x, normalized_shape=(5,))
        np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-12)
        y += 1  # the caller's own copy
        dx, dw, db = pullback(x)
        assert dw is None
        assert db is None
        np.testing.assert_allclose(dx, layer_norm(x, np.ones(5), normalized_shape=(5,))[1](x)[0])
        assert layer_norm(x, w, b, normalized_shape=(5,))[1](x, input_grad=False)[0] is None

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_m17_keeps_the_dtype(self, dtype):
        x, w, b = (a.astype(dtype) for a in drawn((7, 30)))
        y, pullback = layer_norm(x, w, b, normalized_shape=(30,))
        assert {a.dtype for a in (y, *pullback(y))} == {np.dtype(dtype)}
        exact = layer_norm(*(a.astype("float64") for a in (x, w, b)), normalized_shape=(30,))[0]
        np.testing.assert_allclose(y, exact, atol=20 * np.finfo(dtype).eps)

    def test_no_samples(self):
        y, pullback = layer_norm(np.zeros((0, 3)), np.ones(3), np.zeros(3), normalized_shape=(3,))
        assert y.shape == (0, 3)
        assert [a.shape for a in pullback(y)] == [(0, 3), (3,), (3,)]


class TestGroupNorm:
    @pytest.mark.parametrize("groups", [1, 2, 3, 6])
    @pytest.mark.parametrize("shape", [(4, 5, 6), (2, 3, 4, 6), (2, 3, 2, 2, 6)])
    def test_equals_loops_over_samples_and_groups(self, shape, groups):
        x, w, b = drawn(shape)
        y, _ = group_norm(x, w, b, groups=groups, eps=1e-3)
        size = 6 // groups
        for n, g in itertools.product(range(shape[0]), range(groups)):
            channels = slice(g * size, (g + 1) * size)
            z = np.reshape(normalised_column(x[n, ..., channels].ravel(), 1e-3)[0], (*shape[1:-1], size))
            np.testing.assert_allclose(
                y[n, ..., channels], z * w[channels] + b[channels], rtol=1e-12, atol=1e-12
            )

    @pytest.mark.parametrize("groups", [1, 2, 6])
    def test_gradients(self, groups):
        assert_pullback(functools.partial(group_norm, groups=groups), *drawn((3, 4, 2, 6)))

    def test_agrees_with_torch(self, torch):
        x, w, b = drawn((4, 5, 7, 6))
        y, pullback = group_norm(x, w, b, groups=3, eps=1e-3)
        leaves = [torch.tensor(a, requires_grad=True) for a in (np.moveaxis(x, -1, 1), w, b)]
        theirs = torch.nn.functional.group_norm(leaves[0], 3, *leaves[1:], eps=1e-3)
        dy = np.random.default_rng(1).normal(size=y.shape)
        theirs.backward(torch.tensor(np.moveaxis(dy, -1, 1)))
        np.testing.assert_allclose(y, np.moveaxis(theirs.detach().numpy(), 1, -1), atol=1e-12)
        dx, dw, db = pullback(dy)
        np.testing.assert_allclose(dx, np.moveaxis(leaves[0].grad.numpy(), 1, -1), atol=1e-12)
        np.testing.assert_allclose(dw, leaves[1].grad, rtol=1e-10)
        np.testing.assert_allclose(db, leaves[2].grad, rtol=1e-10)

    def test_of_one_group_is_a_layer_norm_without_its_scale(self):
        x, _, _ = drawn((4, 5, 6))
        expected = layer_norm(x, normalized_shape=(5, 6))[0]
        np.testing.assert_allclose(group_norm(x, groups=1)[0], expected, rtol=1e-12)

    def test_works_without_positions(self):
        x, w, b = drawn((4, 6))
        by_hand = layer_norm(x.reshape(4, 2, 3), normalized_shape=(3,))[0].reshape(4, 6) * w + b
        np.testing.assert_allclose(group_norm(x, w, b, groups=2)[0], by_hand, rtol=1e-12)


class TestInstanceNorm:
    @pytest.mark.parametrize("shape", [(4, 5, 3), (2, 3, 4, 3), (2, 3, 2, 2, 3)])
    def test_equals_loops_over_samples_and_channels(self, shape):
        x, w, b = drawn(shape)
        y, _ = instance_norm(x, w, b, eps=1e-3)
        for n, c in itertools.product(range(shape[0]), range(3)):
            z = normalised_column(x[n, ..., c].ravel(), 1e-3)[0]
            np.testing.assert_allclose(
                y[n, ..., c].ravel(), np.multiply(z, w[c]) + b[c], rtol=1e-12, atol=1e-12
            )

    def test_gradients(self):
        assert_pullback(instance_norm, *drawn((3, 4, 2, 3)))

    def test_agrees_with_torch(self, torch):
        x, w, b = (a.astype("float32") for a in drawn((4, 5, 7, 6)))
        theirs = torch.nn.functional.instance_norm(
            torch.tensor(np.moveaxis(x, -1, 1)), weight=torch.tensor(w), bias=torch.tensor(b)
        )
        np.testing.assert_allclose(instance_norm(x, w, b)[0], np.moveaxis(theirs.numpy(), 1, -1), atol=1e-5)

    def test_is_a_batch_norm_of_one_sample(self):
        x, w, b = drawn((1, 5, 4, 3))
        expected = normalised_values(x, w, b)[0]
        np.testing.assert_allclose(instance_norm(x, w, b)[0], expected, rtol=1e-10, atol=1e-12)


class TestRMSNorm:
    @pytest.mark.parametrize("trailing", [1, 2])
    def test_equals_loops_over_samples(self, trailing):
        rng = np.random.default_rng(0)
        x = rng.normal(3, 2, size=(3, 4, 5))
        shape = x.shape[-trailing:]
        w = rng.normal(size=shape)
        y, _ = rms_norm(x, w, normalized_shape=shape, eps=1e-3)
        for row, found in zip(x.reshape(-1, w.size), y.reshape(-1, w.size), strict=True):
            root = math.sqrt(sum(float(v) ** 2 for v in row) / w.size + 1e-3)
            np.testing.assert_allclose(found, row / root * w.ravel(), rtol=1e-12)

    @pytest.mark.parametrize("trailing", [1, 2])
    def test_gradients(self, trailing):
        rng = np.random.default_rng(0)
        x = rng.normal(3, 2, size=(3, 4, 5))
        shape = x.shape[-trailing:]
        assert_pullback(functools.partial(rms_norm, normalized_shape=shape), x, rng.normal(size=shape))

    def test_agrees_with_torch(self, torch):
        x, w, _ = drawn((4, 7, 6))
        y, pullback = rms_norm(x, w, normalized_shape=(6,), eps=1e-3)
        leaves = [torch.tensor(a, requires_grad=True) for a in (x, w)]
        theirs = torch.nn.functional.rms_norm(leaves[0], (6,), leaves[1], eps=1e-3)
        dy = np.random.default_rng(1).normal(size=y.shape)
        theirs.backward(torch.tensor(dy))
        np.testing.assert_allclose(y, theirs.detach(), rtol=1e-12)
        for gradient, leaf in zip(pullback(dy), leaves, strict=True):
            np.testing.assert_allclose(gradient, leaf.grad, atol=1e-12)

    def test_without_scale_and_without_input_gradient(self):
        x, w, _ = drawn((6, 5))
        y, pullback = rms_norm(x, normalized_shape=(5,))
        np.testing.assert_allclose((y * y).mean(axis=-1), 1, rtol=1e-4)
        assert pullback(y)[1] is None
        dx, dw = rms_norm(x, w, normalized_shape=(5,))[1](y, input_grad=False)
        assert dx is None
        assert dw.shape == (5,)

    def test_one_value_becomes_its_sign(self):
        np.testing.assert_allclose(
            rms_norm(np.array([[3.0], [-4.0]]), normalized_shape=(1,))[0], [[1], [-1]], rtol=1e-5
        )


SAMPLE_WISE = {
    "group_norm": functools.partial(group_norm, groups=2),
    "instance_norm": instance_norm,
    "layer_norm": functools.partial(layer_norm, normalized_shape=(6,)),
    "rms_norm": functools.partial(rms_norm, normalized_shape=(6,)),
}


@pytest.mark.parametrize("name", SAMPLE_WISE)
class TestEachSampleAlone:
    def test_a_batch_equals_its_rows(self, name):
        op, (x, w, _) = SAMPLE_WISE[name], drawn((5, 4, 6))
        rows = [op(x[i : i + 1], w)[0] for i in range(5)]
        np.testing.assert_allclose(op(x, w)[0], np.concatenate(rows), rtol=1e-13)

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_m17_keeps_the_dtype(self, name, dtype):
        op, (x, w, _) = SAMPLE_WISE[name], (a.astype(dtype) for a in drawn((5, 4, 6)))
        y, pullback = op(x, w)
        assert {a.dtype for a in (y, *pullback(y)[:2])} == {np.dtype(dtype)}
        exact = op(x.astype("float64"), w.astype("float64"))[0]
        np.testing.assert_allclose(y, exact, atol=20 * np.finfo(dtype).eps)

    def test_no_samples(self, name):
        y, pullback = SAMPLE_WISE[name](np.zeros((0, 4, 6)), np.ones(6))
        assert y.shape == (0, 4, 6)
        dx, dw = pullback(y)[:2]
        assert dx.shape == (0, 4, 6)
        np.testing.assert_array_equal(dw, np.zeros(6))


X = np.zeros((4, 3))


class TestBadInput:
    def test_m21_an_instance_of_one_position(self):
        for shape in ((4, 3), (4, 1, 1, 3)):
            with pytest.raises(
                ValueError, match=r"instance_norm: expected more than one value .*, got shape \(4, "
            ):
                instance_norm(np.zeros(shape))
            with pytest.raises(ValueError, match="group_norm: expected more than one value"):
                group_norm(np.zeros(shape), groups=3)

    @pytest.mark.parametrize("groups", [2, 0, -3, 4])
    def test_groups_that_do_not_divide(self, groups):
        with pytest.raises(
            ValueError, match=f"group_norm: expected groups that divide the 3 channels, got {groups}"
        ):
            group_norm(np.zeros((4, 5, 3)), groups=groups)

    @pytest.mark.parametrize("shape", [(1, 3), (1, 1, 1, 3)])
    def test_m21_statistics_of_one_value(self, shape):
        with pytest.raises(
            ValueError, match=r"batch_norm: expected more than one value .* the variance of one"
        ):
            batch_norm(np.zeros(shape))
        batch_norm_inference(np.zeros(shape), mean=np.zeros(3), var=np.ones(3))

    def test_m21_a_layer_norm_of_one_value(self):
        with pytest.raises(ValueError, match="layer_norm: expected more than one value"):
            layer_norm(np.zeros((4, 1)), normalized_shape=(1,))

    @pytest.mark.parametrize("bad", [[1.0], 3.0, None])
    def test_no_array(self, bad):
        with pytest.raises(TypeError, match=r"batch_norm: expected an array.* minidl.asarray"):
            batch_norm(bad)
        with pytest.raises(TypeError, match=r"layer_norm: expected an array.* minidl.asarray"):
            layer_norm(bad, normalized_shape=(3,))

    def test_integers(self):
        with pytest.raises(TypeError, match="batch_norm: expected a floating-point array, got int64"):
            batch_norm(np.zeros((4, 3), dtype=np.int64))

    def test_another_dtype_than_the_weights(self):
        with pytest.raises(TypeError, match=r"batch_norm: expected float64 like the weights, got float32"):
            batch_norm(X.astype("float32"), np.ones(3))
        with pytest.raises(TypeError, match=r"layer_norm: expected float32 like the weights, got float64"):
            layer_norm(X, None, np.ones(3, "float32"), normalized_shape=(3,))

    def test_channels(self):
        with pytest.raises(ValueError, match=r"batch_norm: expected \(..., 3\), got \(4, 5\)"):
            batch_norm(np.zeros((4, 5)), np.ones(3))
        with pytest.raises(ValueError, match=r"batch_norm: expected \(N, ..., C\), got \(3,\)"):
            batch_norm(np.zeros(3))
        with pytest.raises(ValueError, match=r"batch_norm: bias: expected shape \(3,\), got \(4,\)"):
            batch_norm(X, np.ones(3), np.ones(4))

    def test_channels_first(self):
        with pytest.raises(
            ValueError, match=r"got \(4, 3, 8, 8\); channels-first input\? use minidl.channels_last"
        ):
            batch_norm(np.zeros((4, 3, 8, 8)), np.ones(3))

    def test_statistics_of_another_shape(self):
        with pytest.raises(ValueError, match=r"batch_norm: mean: expected shape \(3,\), got \(4,\)"):
            batch_norm_inference(X, mean=np.zeros(4), var=np.ones(3))
        with pytest.raises(ValueError, match=r"batch_norm: variance: expected shape \(3,\), got \(4,\)"):
            batch_norm_inference(X, mean=np.zeros(3), var=np.ones(4))

    def test_trailing_axes(self):
        with pytest.raises(ValueError, match=r"layer_norm: expected \(..., 4, 5\), got \(4, 3\)"):
            layer_norm(X, normalized_shape=(4, 5))
        with pytest.raises(ValueError, match=r"layer_norm: weight: expected shape \(3,\), got \(4,\)"):
            layer_norm(X, np.ones(4), normalized_shape=(3,))
        with pytest.raises(ValueError, match=r"layer_norm: expected \(..., \), got"):
            layer_norm(X, normalized_shape=())

    @pytest.mark.parametrize("eps", [0, -1e-5, math.nan])
    def test_eps(self, eps):
        with pytest.raises(ValueError, match="batch_norm: expected a finite eps > 0, got"):
            batch_norm(X, eps=eps)
        with pytest.raises(ValueError, match="layer_norm: expected a finite eps > 0, got"):
            layer_norm(X, normalized_shape=(3,), eps=eps)
