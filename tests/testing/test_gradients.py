"""The gradient check finds what is wrong, keeps quiet about what is right, and looks at all it should."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl import functional as F
from minidl import ops
from minidl.layers import BatchNorm, Dropout, Layer, Linear, Parameter, ReLU, Sequential
from minidl.testing import GradientError, check_gradients
from minidl.testing.gradients import METHODS
from tests.either import np

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))


def scaled_tanh(factor):
    """tanh with a gradient that is off by a factor."""

    def op(x):
        y, pullback = ops.tanh(x)
        return y, lambda dy: factor * pullback(dy)

    return op


class TestAFunctionThatIsRight:
    @pytest.mark.parametrize("op", [ops.tanh, ops.exp, ops.softmax, ops.log_softmax, ops.sum])
    def test_an_op(self, op):
        report = check_gradients(op, X)
        assert [row.argument for row in report.checked] == ["x"]
        assert report.checked[0].error < 1e-8

    def test_a_composition_of_functions(self):
        check_gradients(lambda x, w: F.softmax(F.matmul(x, w)).sum(axis=0) * 2, X, RNG.normal(size=(3, 2)))

    def test_a_function_that_only_tensors_will_do_for(self):
        check_gradients(lambda x: x * x if x.requires_grad else None, X)
        check_gradients(lambda x: x * x.transpose(1, 0).transpose(1, 0) * float(x.data[0, 0] > -9), X)

    def test_a_layer_with_its_parameters(self):
        model = Sequential(Linear(3, 4, seed=0), BatchNorm(4), Dropout(seed=1), ReLU(), Linear(4, 2, seed=2))
        before = model.state()
        report = check_gradients(model, X)
        assert [row.argument for row in report.checked] == ["x", *(n for n, _ in model.named_parameters())]
        for name, array in model.state().items():
            np.testing.assert_array_equal(array, before[name])
            assert array.dtype == before[name].dtype

    def test_a_frozen_parameter_is_left_out(self):
        assert [r.argument for r in check_gradients(Linear(3, 2).freeze(), X).checked] == ["x"]

    def test_several_outputs(self):
        def halves(x):
            return (x[:2] ** 2, x[2:]), lambda dy: np.concatenate([2 * dy[0] * x[:2], dy[1]])

        check_gradients(halves, X)

    def test_integers_have_no_gradient(self):
        def pick(x, index):
            return x[index], lambda dy: (np.add.at(dx := np.zeros_like(x), index, dy), dx, None)[1:]

        report = check_gradients(pick, X, np.array([1, 1, 0]))
        assert [row.argument for row in report.checked] == ["x"]

    @pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1, 1)])
    def test_any_shape(self, shape):
        check_gradients(ops.tanh, np.full(shape, 0.5))

    def test_half_precision_arrays_are_checked_in_double(self):
        assert check_gradients(ops.tanh, X.astype(np.float16)).checked[0].error < 1e-8

    def test_the_report_reads_well(self):
        text = str(check_gradients(ops.linear, X, RNG.normal(size=(3, 2))))
        assert text.startswith(
            "linear: gradients are right (central differences, kinks avoided: 0)\n  x  (4,"
        )


class TestSteps:
    @pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 1e4, 1e8])
    def test_follow_the_scale_of_the_argument(self, scale):
        def op(x):
            return (x / scale) ** 3, lambda dy: 3 * dy * (x / scale) ** 2 / scale

        assert check_gradients(op, X * scale).checked[0].error < 1e-8

    @pytest.mark.parametrize("scale", [1e-9, 1e-5, 1e2])
    def test_a_softmax_of_any_scale(self, scale):
        check_gradients(ops.softmax, X * scale)

    def test_a_logarithm_near_zero(self):
        check_gradients(ops.log, abs(X) * 1e-6)

    def test_a_flat_function(self):
        check_gradients(ops.tanh, X + 30)
        check_gradients(lambda x: (np.full(2, 1e6), lambda dy: np.zeros_like(x)), X)


class TestKinks:
    @pytest.mark.parametrize("op", [ops.relu, ops.absolute])
    def test_a_point_on_a_kink_is_replaced_by_one_beside_it(self, op):
        assert check_gradients(op, np.array([0.0, 1.0, -1.0, 0.0])).kinks > 0

    @pytest.mark.parametrize("offset", [1e-7, 1e-6, 2.02e-6, 4e-6, 6e-6])
    def test_a_kink_within_the_step_is_noticed(self, offset):
        check_gradients(ops.relu, np.array([offset, 1.0, -1.0]))

    def test_ties_in_a_maximum(self):
        assert check_gradients(lambda x: ops.max(x, axis=1), np.ones((3, 4))).kinks > 0

    def test_a_kink_does_not_excuse_a_wrong_gradient(self):
        def op(x):
            return np.maximum(x, 0), lambda dy: 1.001 * dy * (x > 0)

        with pytest.raises(GradientError, match="is wrong"):
            check_gradients(op, np.array([0.0, 1.0, -1.0]))

    def test_a_function_that_changes_from_call_to_call_has_no_derivative(self):
        with pytest.raises(GradientError, match="changes from call to call") as caught:
            check_gradients(lambda x: (x * RNG.normal(), lambda dy: dy), X)
        assert caught.value.diagnosis == "not repeatable"

    def test_a_function_that_jumps_everywhere_has_no_derivative(self):
        with pytest.raises(GradientError, match="the value jumps") as caught:
            check_gradients(lambda x: (np.sin(x * 1e12), lambda dy: dy), X)
        assert caught.value.diagnosis == "not differentiable"


class TestTheComplexStep:
    def test_is_exact_to_rounding(self):
        def op(x, w):
            return np.exp(x) * w, lambda dy: (dy * np.exp(x) * w, dy * np.exp(x))

        report = check_gradients(op, X, X + 1, method="complex")
        assert max(row.error for row in report.checked) < 1e-14

    def test_serves_ops_that_take_complex_numbers(self):
        assert check_gradients(ops.multiply, X, X + 1, method="complex").checked[0].error < 1e-14

    def test_finds_a_gradient_that_is_wrong_in_the_tenth_digit(self):
        def op(x):
            return np.exp(x), lambda dy: (1 + 1e-10) * dy * np.exp(x)

        check_gradients(op, X)
        with pytest.raises(GradientError, match="is wrong"):
            check_gradients(op, X, method="complex", rtol=1e-13)

    def test_says_so_where_it_cannot_be_used(self):
        with pytest.raises(TypeError, match="refuses complex arrays"):
            check_gradients(ops.tanh, X, method="complex")
        with pytest.raises(TypeError, match="drops the imaginary part"):
            check_gradients(lambda x: (abs(x), lambda dy: dy * np.sign(x)), X, method="complex")

    def test_an_unknown_method_is_refused(self):
        with pytest.raises(ValueError, match="expected a method of central, complex, got 'forward'"):
            check_gradients(ops.tanh, X, method="forward")


class TestTheJacobian:
    def test_is_returned_by_argument(self):
        report = check_gradients(ops.softmax, np.array([1.0, 2.0]), jacobian=True)
        np.testing.assert_allclose(report.jacobians["x"], 0.19661193324148185 * np.array([[1, -1], [-1, 1]]))

    def test_has_the_shape_of_the_output_and_the_argument(self):
        report = check_gradients(ops.linear, X, RNG.normal(size=(3, 2)), jacobian=True)
        assert {k: v.shape for k, v in report.jacobians.items()} == {"x": (4, 2, 4, 3), "w": (4, 2, 3, 2)}

    def test_finds_an_entry_that_a_projection_hides(self):
        def op(x):
            return x * 1.0, lambda dy: dy + 1e-9 * (1e6 if dy.sum() == 1 else 0)

        check_gradients(op, X)
        with pytest.raises(GradientError, match="of output 0 is wrong"):
            check_gradients(op, X, jacobian=True)


class TestAWrongGradient:
    @pytest.mark.parametrize("factor", [1.001, 0.999, 1.00001, 2.0, -1.0, 0.0])
    @pytest.mark.parametrize("seed", range(5))
    def test_of_any_factor_is_caught(self, factor, seed):
        with pytest.raises(GradientError, match="the gradient of x is wrong"):
            check_gradients(scaled_tanh(factor), X, seed=seed)

    def test_of_one_entry_among_many_is_caught(self):
        def op(x):
            wrong = np.ones_like(x)
            wrong[7, 3] = 1.01
            return x * 2.0, lambda dy: 2 * dy * wrong

        with pytest.raises(GradientError) as caught:
            check_gradients(op, RNG.normal(size=(20, 20)))
        assert caught.value.index == (7, 3)
        assert caught.value.got == pytest.approx(1.01 * caught.value.expected)

    def test_names_the_argument_and_where_it_is_wrong(self):
        def op(x, w):
            return x @ w, lambda dy: (dy @ w.T, 2 * x.T @ dy)

        with pytest.raises(GradientError, match=r"op: the gradient of w is wrong\n  at \(0, 0\)") as caught:
            check_gradients(op, X, RNG.normal(size=(3, 2)))
        assert caught.value.argument == "w"

    def test_of_a_parameter_is_caught(self):
        class Doubled(Linear):
            def vjp(self, x):
                y, pullback = super().vjp(x)

                def wrong(dy, input_grad=True):
                    dx, pairs = pullback(dy, input_grad=input_grad)
                    return dx, [(p, 2 * g) for p, g in pairs]

                return y, wrong

        with pytest.raises(GradientError, match=r"Doubled\(3, 2\): the gradient of weight is wrong"):
            check_gradients(Doubled(3, 2, seed=0), X)

    def test_of_an_unused_parameter_is_missing(self):
        class Forgetful(Layer):
            def __init__(self):
                self.scale = Parameter([2.0], name="scale")

            def vjp(self, x):
                return x * self.scale.data, lambda dy, input_grad=True: (dy * self.scale.data, [])

        with pytest.raises(GradientError, match="an array as the gradient of scale, got NoneType"):
            check_gradients(Forgetful(), X)


class TestRulesOfAPullback:
    def test_it_gives_one_gradient_for_each_argument(self):
        with pytest.raises(
            GradientError, match="expected a tuple of 2 gradients, one for each argument, got 1"
        ):
            check_gradients(lambda x, w: (x * w, lambda dy: dy * w), X, X)

    def test_in_its_dtype(self):
        with pytest.raises(GradientError, match="is float32, expected float64") as caught:
            check_gradients(lambda x: (x * 2, lambda dy: (dy * 2).astype(np.float32)), X)
        assert caught.value.diagnosis == "narrowed"

    def test_in_its_shape(self):
        with pytest.raises(GradientError, match=r"has shape \(4, 3\), expected \(3,\)") as caught:
            check_gradients(lambda x, b: (x + b, lambda dy: (dy, dy)), X, np.ones(3))
        assert caught.value.diagnosis == "not summed"

    def test_it_does_not_change_what_it_captured(self):
        def op(x):
            y = np.exp(x)

            def pullback(dy):
                nonlocal y
                dx, y = dy * y, y * 2
                return dx

            return y, pullback

        with pytest.raises(GradientError, match="another gradient of x when it is called again"):
            check_gradients(op, X)

    @pytest.mark.parametrize("what", ["an argument", "the upstream gradient", "the value"])
    def test_it_writes_to_nothing(self, what):
        def op(x):
            y = x * 2.0

            def pullback(dy):
                dx = dy * 2
                {"an argument": x, "the upstream gradient": dy, "the value": y}[what][0, 0] += 1e-3
                return dx.copy()

            return y, pullback

        with pytest.raises(GradientError, match=f"{what} was written to|called again"):
            check_gradients(op, X)

    def test_the_value_is_of_the_dtype_of_the_arguments(self):
        with pytest.raises(GradientError, match="expected a float64 array as the value"):
            check_gradients(lambda x: ((x * 2).astype(np.float32), lambda dy: dy * 2), X)
        with pytest.raises(GradientError, match="as the value for float64 arguments, got float"):
            check_gradients(lambda x: (1.0, lambda dy: dy * 2), X)

    def test_a_value_that_is_not_finite_has_no_derivative(self):
        with pytest.raises(GradientError, match="the value is not finite"):
            check_gradients(lambda x: (x / x - np.inf, lambda dy: dy), X)


class TestTheArguments:
    def test_of_the_check_are_a_function_and_arrays(self):
        for arguments in [(3, X), (ops.tanh,)]:
            with pytest.raises(TypeError, match="expected a function and its arrays"):
                check_gradients(*arguments)
        with pytest.raises(TypeError, match="check_gradients: expected an array, got list"):
            check_gradients(ops.tanh, [1.0])

    def test_that_the_function_refuses_are_refused_in_its_own_words(self):
        with pytest.raises(TypeError, match="linear: expected an array, got NoneType"):
            check_gradients(lambda x: ops.linear(x, None), X)

    def test_need_no_names(self):
        class Anonymous:
            __signature__ = None

            def __call__(self, x):
                return ops.tanh(x)

        report = check_gradients(Anonymous(), X)
        assert [row.argument for row in report.checked] in (["argument 0"], ["x"])

    def test_are_not_written_to(self):
        x = np.array([0.0, 1.0])
        check_gradients(ops.relu, x)
        np.testing.assert_array_equal(x, [0.0, 1.0])

    def test_the_methods_are_listed(self):
        assert METHODS == ("central", "complex")


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.001, 0.999]), st.integers(1, 30))
def test_a_thousandth_is_found_at_any_point(seed, factor, size):
    x = np.random.default_rng(seed).normal(size=size)
    check_gradients(scaled_tanh(1.0), x, seed=seed)
    with pytest.raises(GradientError):
        check_gradients(scaled_tanh(factor), x, seed=seed)


@pytest.mark.full
@settings(max_examples=1000)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_a_right_layer_raises_no_false_alarm(seed, scale):
    rng = np.random.default_rng(seed)
    model = Sequential(
        Linear(4, 5, seed=seed), BatchNorm(5), ReLU(), Dropout(seed=seed), Linear(5, 3, seed=1)
    )
    check_gradients(model, rng.normal(scale=scale, size=(rng.integers(2, 6), 4)), seed=seed)


def test_hypothesis_is_not_needed():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import minidl.testing, numpy\n"
        "from minidl import ops\n"
        "minidl.testing.check_gradients(ops.tanh, numpy.ones(2))\n"
        "try:\n    minidl.testing.strategies\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "minidl[testing]"' in done.stdout
