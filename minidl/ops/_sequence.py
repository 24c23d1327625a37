"""What sequences share: which steps of a padded batch count."""

from minidl.backend import Array, check_array, violated, xp


def valid_steps(mask: Array | None, samples: int, steps: int, owner: str) -> Array | None:
    """Return which steps of each sample count, as booleans (N, T), or None if all of them do.

    Args:
        mask: None; booleans ``(N, T)``, true where a step counts; or the lengths ``(N,)`` as whole numbers.
        samples: N.
        steps: T.
        owner: the op.
    """
    if mask is None:
        return None
    check_array(mask, owner, "the mask as an array")
    if mask.dtype.kind == "b" and mask.shape == (samples, steps):
        return mask
    if mask.dtype.kind not in "iu" or mask.shape != (samples,):
        raise ValueError(
            f"{owner}: expected a mask of booleans {(samples, steps)} or lengths {(samples,)}, "
            f"got {mask.dtype} {mask.shape}"
        )
    if violated((mask >= 1) & (mask <= steps)):
        raise ValueError(f"{owner}: expected lengths from 1 to {steps}, got {mask.tolist()}")
    return xp.asarray(xp.arange(steps) < mask[:, None])
