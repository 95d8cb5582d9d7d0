"""Implements the Capsule Transformer frame by frame, head by head and token by token."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from models.textbook import equations
from models.textbook.capsnet import squash
from models.textbook.convlstm import fold, unfold


class CapsuleTransformer(nn.Module):
    """Predicts frames with the parameters and options of our variant.

    A latent is replaced by its mean, as in evaluation.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.config, self.shape = model.config, model.shape
        block, decoder = model.transformer, model.decoder
        self.conv = copy.deepcopy(model.capsules.features)
        self.objects = copy.deepcopy(model.objects)
        self.positions = nn.Parameter(block.positions.detach().clone())
        self.places = copy.deepcopy(block.places)
        self.query, self.key, self.value = (
            linear(*part)
            for part in zip(
                block.queries_keys_values.weight.chunk(3),
                block.queries_keys_values.bias.chunk(3),
                strict=True,
            )
        )
        self.output = copy.deepcopy(block.output)
        self.norms = nn.ModuleList(
            copy.deepcopy(norm)
            for norm in (block.norm, block.norm_attention, block.norm_feed_forward)
        )
        self.widen, self.narrow = copy.deepcopy(block.widen), copy.deepcopy(block.narrow)
        self.score = copy.deepcopy(block.score)
        self.decoder = nn.ModuleDict(
            {name: copy.deepcopy(layer) for name, layer in decoder.named_children()}
        )

    def capsules(self, frame: Tensor) -> Tensor:
        """Computes the capsules of a frame per sample: (batch, positions, capsules, dims)."""
        return squash(
            rearrange(self.conv(frame), "b (k d) y x -> b (y x) k d", d=self.config.capsule_dim)
        )

    def tokens(self, capsules: Tensor, size: tuple[int, int]) -> Tensor:
        """Computes a frame's tokens (batch, tokens, width) from its capsules."""
        if self.config.routing_iterations:
            capsules = torch.stack([self.routed(one, size) for one in capsules])
        capsules = capsules.flatten(2)
        return capsules.flatten(1)[:, None] if self.config.projection == "dense" else capsules

    def routed(self, capsules: Tensor, size: tuple[int, int]) -> Tensor:
        """Routes one sample's capsules to object capsules, each (objects, object_dim).

        The position of a capsule is added to the first two numbers of its votes.
        """
        rows, columns = size
        votes = []
        for place, types in enumerate(capsules):
            y, x = divmod(place, columns)
            for u, matrix in zip(types, self.objects.weight, strict=True):
                vote = (u @ matrix).view(self.config.object_capsules, self.config.object_dim)
                where = torch.zeros_like(vote)
                where[:, 0], where[:, 1] = (2 * y + 1) / rows - 1, (2 * x + 1) / columns - 1
                votes.append(vote + where)
        together = torch.stack(votes, dim=1)
        if self.config.routing == "em":
            return self.fitted(together, capsules.norm(dim=-1).flatten())
        return equations.routing(together, self.config.routing_iterations, "outputs")

    def fitted(self, votes: Tensor, presence: Tensor) -> Tensor:
        """Routes one sample's votes (objects, parts, dims) by EM (Hinton et al. 2018)."""
        objects, em = range(len(votes)), self.objects.em
        shares = [presence / len(votes) for _ in objects]
        for t in range(self.config.routing_iterations):
            poses, variances, activations = [], [], []
            for j in objects:  # M-step
                mass = shares[j].sum() + 1e-6
                pose = (shares[j][:, None] * votes[j]).sum(0) / mass
                variance = (shares[j][:, None] * (votes[j] - pose) ** 2).sum(0) / mass + 1e-6
                cost = ((em.cost[j] + torch.log(torch.sqrt(variance))) * mass).sum()
                scale = 0.01 * (1 - 0.95 ** (t + 1))
                poses.append(pose)
                variances.append(variance)
                activations.append(torch.sigmoid(scale * (em.benefit[j] - cost)))
            logits = [  # E-step
                torch.log(activations[j])
                + torch.distributions.Normal(poses[j], variances[j].sqrt())
                .log_prob(votes[j])
                .sum(1)
                for j in objects
            ]
            shares = [share * presence for share in torch.stack(logits).softmax(0)]
        return torch.stack([a * pose for a, pose in zip(activations, poses, strict=True)])

    def attended(self, x: Tensor) -> Tensor:
        """Attends over tokens: (batch, tokens, width) to the same shape."""
        x = self.norms[0](x)
        q, k, v = self.query(x), self.key(x), self.value(x)
        heads = []
        for h in range(self.config.num_heads):
            part = slice(h * self.config.head_dim, (h + 1) * self.config.head_dim)
            scores = torch.einsum("bid,bjd->bij", q[..., part], k[..., part])
            weights = torch.softmax(scores / self.config.head_dim**0.5, dim=-1)
            heads.append(torch.einsum("bij,bjd->bid", weights, v[..., part]))
        x = self.norms[1](x + self.output(torch.cat(heads, -1)))
        return self.norms[2](x + self.narrow(F.gelu(self.widen(x))))

    def averaged(self, x: Tensor) -> Tensor:
        """Averages the frames of one token: (batch, frames, width) to (batch, width)."""
        weights = torch.softmax(self.score(x).squeeze(-1), dim=1)
        return torch.einsum("bt,btw->bw", weights, x)

    def decoded(
        self, context: Tensor, frame: Tensor, capsules: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Decodes tokens (batch, tokens, width) to frames.

        Returns:
            The frames. Then the Kullback-Leibler divergence of the latent from a standard normal
            distribution, summed over the latent and averaged over the batch; None without a latent.
        """
        rows, columns = frame.shape[2] // 4, frame.shape[3] // 4
        layers, divergence = self.decoder, None
        if isinstance(layers["context"], nn.Conv2d):
            maps = rearrange(context, "b (y x) w -> b w y x", x=2 * columns)
            hidden = rearrange(F.gelu(layers["context"](maps)), "b w y x -> b y x w")
        else:
            hidden = F.gelu(layers["context"](context.flatten(1)))
        if "latent" in layers:
            mean, log_variance = layers["latent"](hidden).chunk(2, -1)
            divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
            hidden, divergence = mean, divergence.flatten(1).sum(1).mean()
        hidden = F.gelu(layers["positions"](hidden))
        if isinstance(layers["context"], nn.Conv2d):
            maps = rearrange(hidden, "b y x w -> b w y x")
        else:
            maps = rearrange(hidden, "b (y x w) -> b w y x", y=rows, x=columns)
        maps = F.gelu(layers["to_half"](maps))
        if self.config.skip:
            grid = rearrange(capsules, "b (y x) k d -> b (k d) y x", x=2 * columns)
            maps = torch.cat([maps, grid], 1)
        maps = F.gelu(layers["to_full"](maps))
        if self.config.skip:
            maps = torch.cat([maps, frame], 1)
        return torch.tanh(layers["frames"](maps)), divergence

    def predicted(self, past: Tensor) -> tuple[Tensor, Tensor]:
        """Predicts frames in [−1, 1], and computes the mean divergence.

        Each step encodes all frames of its window again.
        """
        frames = list(fold(2 * past - 1, self.config.patch_size).unbind(1))
        future: list[Tensor] = []
        divergences = []
        while len(future) < self.shape.future:
            window = [*frames, *future][-self.shape.past :]
            size = (window[0].shape[2] // 2, window[0].shape[3] // 2)
            capsules = [self.capsules(frame) for frame in window]
            tokens = torch.stack([self.tokens(c, size) for c in capsules], 1) + self.positions
            if self.places is not None:
                attended = self.attended((tokens + self.places).flatten(1, 2)).view_as(tokens)
            else:
                attended = torch.stack([self.attended(token) for token in tokens.unbind(2)], 2)
            context = torch.stack([self.averaged(token) for token in attended.unbind(2)], 1)
            predictions, divergence = self.decoded(context, window[-1], capsules[-1])
            future += predictions.chunk(self.config.frames_per_step, 1)
            divergences.append(predictions.new_zeros(()) if divergence is None else divergence)
        predicted = torch.stack(future[: self.shape.future], 1)
        return unfold(predicted, self.config.patch_size), torch.stack(divergences).mean()

    def forward(self, past: Tensor) -> Tensor:
        """Predicts future frames in [0, 1] from past frames."""
        return (self.predicted(past)[0] + 1) / 2

    def loss(self, batch: Any) -> Tensor:
        """Computes the mean squared error in [−1, 1] plus the weighted divergence."""
        frames, divergence = self.predicted(batch.past)
        return F.mse_loss(frames, 2 * batch.future - 1) + self.config.kl_weight * divergence


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Builds a linear layer with a given weight and bias."""
    outputs, inputs = weight.shape
    layer = nn.Linear(inputs, outputs, dtype=weight.dtype)
    layer.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
    return layer


def gradients_by_model_names(
    oracle: CapsuleTransformer, gradients: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Renames the textbook version's gradients to the names of our variant's parameters."""
    found: dict[str, Tensor] = {"transformer.positions": gradients["positions"]}
    if "places" in gradients:
        found["transformer.places"] = gradients["places"]
    norms = ("norm", "norm_attention", "norm_feed_forward")
    for part in ("weight", "bias"):
        found[f"capsules.features.{part}"] = gradients[f"conv.{part}"]
        found[f"transformer.queries_keys_values.{part}"] = torch.cat(
            [gradients[f"{name}.{part}"] for name in ("query", "key", "value")]
        )
        for name in ("output", "widen", "narrow", "score"):
            found[f"transformer.{name}.{part}"] = gradients[f"{name}.{part}"]
        for number, name in enumerate(norms):
            found[f"transformer.{name}.{part}"] = gradients[f"norms.{number}.{part}"]
    for name, gradient in gradients.items():
        if name.startswith(("decoder.", "objects.")):
            found[name] = gradient
    return found


textbook = CapsuleTransformer
