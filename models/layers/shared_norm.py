"""Normalises with the statistics of the whole batch, in training on several devices.

torch's `SyncBatchNorm` does the same on GPUs only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.layers.numerics import at_least_float32
from models.layers.shares import current_share, of_all_shares


class SharedBatchNorm(_BatchNorm):
    """Normalises each channel by its mean and variance over the shares of all processes.

    Outside of training on several devices it is torch's batch norm.

    Args:
        norm: the batch norm that is replaced; its parameters and running statistics are taken over.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(
            norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
        )
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.train(norm.training)

    def _check_input_dim(self, input: Tensor) -> None:
        """Accepts every shape, as the replaced module has checked it or would have."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalises a share of a batch.

        Args:
            input: (batch, channels, ...).

        Returns:
            The same shape.
        """
        if not self.training or current_share().devices == 1:
            return super().forward(input)
        x = at_least_float32(input)
        others = [axis for axis in range(x.dim()) if axis != 1]
        var, mean = torch.var_mean(x, others, correction=0)
        means, variances = of_all_shares(torch.stack([mean, var])).unbind(1)
        mean = means.mean(0)
        var = variances.mean(0) + (means - mean).square().mean(0)
        self._track(mean, var, samples=len(means) * x.numel() // x.shape[1])
        shape = [1, -1, *[1] * (x.dim() - 2)]
        normalised = (x - mean.view(shape)) * (var + self.eps).rsqrt().view(shape)
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, samples: int) -> None:
        """Moves the running statistics towards those of the batch, as torch's batch norm does."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(var * (samples / max(samples - 1, 1)), share)


def share_batch_norms(model: nn.Module) -> None:
    """Replaces each batch norm in a model by a `SharedBatchNorm` with the same parameters.

    Args:
        model: the model; its parameters and buffers stay the same tensors.
    """
    for name, child in model.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, SharedBatchNorm):
            setattr(model, name, SharedBatchNorm(child))
        else:
            share_batch_norms(child)
