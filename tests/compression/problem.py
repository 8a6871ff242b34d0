"""A weight and the inputs it is calibrated on."""

import torch


def problem(rows, columns, seed=0):
    """A weight and the Hessian of correlated inputs, of shape [4 * columns, columns], which come third."""
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(columns, columns, generator=draw) / columns**0.5
    inputs = torch.randn(4 * columns, columns, generator=draw) @ mix
    return torch.randn(rows, columns, generator=draw), inputs.T @ inputs, inputs


def errors(weight, others, inputs):
    """Sum of squared differences of the outputs of a weight and of each of some others."""
    return [float(((inputs.double() @ (other - weight).double().T) ** 2).sum()) for other in others]
