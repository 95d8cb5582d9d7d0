"""Implements stacked capsules, parts and objects, as public code does."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from models.layers.object_capsules import object_loss_weights
from models.layers.parts import Parts as FoundParts
from models.textbook.ocae import explain
from models.textbook.pcae import Parts


class SCAE(Parts):
    """Implements Kosiorek et al. 2019, section 2, with the parameters of our variant."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.objects = copy.deepcopy(model.objects)
        self.prior_probe = copy.deepcopy(model.prior_probe)
        self.posterior_probe = copy.deepcopy(model.posterior_probe)

    def loss(self, batch: Any) -> Tensor:
        """Computes the weighted loss of a batch of images, including both classifiers."""
        config = self.config
        loss, pose, presence, features = self.loss_and_parts(batch)
        templates = self.templates(features).flatten(-3).detach()
        found = FoundParts(pose[..., :2, :].flatten(2).detach(), presence.detach(), features)
        objects = explain(self.objects, found, templates)
        for name, weight in object_loss_weights(config).items():
            loss = loss + weight * objects.terms[name]
        loss = loss + config.presence_l1_weight * presence.abs().sum(1).mean()
        probed = ((self.prior_probe, objects.prior), (self.posterior_probe, objects.posterior))
        for probe, presences in probed:
            logits = probe(presences.detach())
            for label in batch.y.unbind(1):
                entropy = nn.functional.cross_entropy(logits, label)
                loss = loss + config.probe_weight * entropy / batch.y.shape[1]
        return loss


textbook = SCAE
