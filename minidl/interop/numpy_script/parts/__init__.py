"""What scripts are put together from: plain functions of NumPy arrays, copied word for word.

Each stands by itself or calls others from here. ``f_backward(dy, ...)`` returns the gradients of the inputs
of ``f``, in the order of its arguments.
"""
