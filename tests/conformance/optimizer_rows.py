"""The optimizers that are compared with PyTorch: the settings to draw, under the same names on both sides.

Where a gradient is nearly zero these updates amplify rounding, and with weight decay without end;
the eps here bounds that. The optimizers' own tests draw others.
"""

from typing import Any

from hypothesis import strategies as st

from minidl import optim

bound = {"eps": st.just(1e-2)}
rates = {"lr": st.sampled_from([1e-3, 0.02])}
decay = {"weight_decay": st.sampled_from([0.0, 0.1])}
betas = {"betas": st.tuples(st.sampled_from([0.5, 0.9]), st.sampled_from([0.9, 0.999]))}
momentum = {"momentum": st.sampled_from([0.0, 0.9])}

OPTIMIZERS = {
    "Adadelta": st.fixed_dictionaries(rates | decay | {"rho": st.sampled_from([0.5, 0.9])}),
    "Adagrad": st.fixed_dictionaries(bound | rates | decay | {"lr_decay": st.sampled_from([0.0, 0.1])}),
    "Adam": st.fixed_dictionaries(bound | rates | decay | betas),
    "AdamW": st.fixed_dictionaries(bound | rates | decay | betas),
    "Adamax": st.fixed_dictionaries(bound | rates | decay | betas),
    "NAdam": st.fixed_dictionaries(bound | rates | decay | betas),
    "RAdam": st.fixed_dictionaries(bound | rates | decay | betas),
    "RMSProp": st.fixed_dictionaries(bound | rates | decay | momentum | {"centered": st.booleans()}),
    "SGD": st.fixed_dictionaries(rates | decay | momentum),
}

OPTIMIZERS_WITHOUT = {
    "Lion": "not in PyTorch",
    "Muon": "computed in half precision there; compared as far as that goes by its own tests",
    "Optimizer": "the base class",
}

THEIR_OPTIMIZERS = {"RMSProp": "RMSprop"}


def our_optimizer(name: str) -> Any:
    return getattr(optim, name)
