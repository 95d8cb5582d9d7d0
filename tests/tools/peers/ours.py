"""Makes training steps of our variant in its own process.

Call: `python -m tests.tools.peers.ours VARIANT BATCH`. It makes a step when the driver asks
for one.
"""

from __future__ import annotations

import sys

import torch

from benchmarks.speed.timing import noise_batch, training_step, untrained_model
from models import registry
from models.variant import ClipShape, ImageShape, Shape
from tests.tools.peers.turn import serve

CASES: dict[str, tuple[Shape, dict[str, object]]] = {
    "capsnet": (ImageShape(1, 28, 28, 10), {}),
    "capsule-transformer": (ClipShape(1, 32, 32, past=16, future=1), {}),
    "convlstm": (ClipShape(1, 64, 64, past=10, future=10), {}),
    "pcae": (ImageShape(1, 40, 40, 10), {}),
    "scae": (ImageShape(1, 40, 40, 10), {"part_capsules": 40, "object_capsules": 32}),
    "tlb-keras": (ImageShape(3, 32, 32, 10), {}),
}
"""What each variant is built for, and its hyper-parameters beside the defaults, as the peer's."""


def main(variant: str, batch: str) -> None:
    """Builds our step and serves it to the driver."""
    shape, settings = CASES[variant]
    config = registry.variant(variant).Config.model_validate(settings)
    torch.manual_seed(0)
    model = untrained_model(variant, shape, config)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    step = training_step(model, noise_batch(shape, int(batch)))
    serve(step, int(batch), parameters=parameters)


if __name__ == "__main__":
    main(*sys.argv[1:])
