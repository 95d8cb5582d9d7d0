"""Makes training steps of peers' own code, from checkouts outside this repository.

Call: `python -m tests.tools.peers.theirs CASE FOLDER BATCH`. It makes a step when the driver asks
for one. Each function takes a checkout and a batch size, and returns a step. Modules that a peer
imports without needing them for a step (pictures, data, logging) are replaced by empty ones.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]

Step = Callable[[], object]


def capsnet(folder: Path, batch: int) -> Step:
    """Trains XifengGuo/CapsNet-Pytorch: MNIST, three routing iterations, reconstruction."""
    import torch

    without_cuda()
    empty("torchvision", "utils")
    sys.path.insert(0, str(folder))
    import capsulenet

    model = capsulenet.CapsuleNet([1, 28, 28], 10, 3)
    x, y = torch.rand(batch, 1, 28, 28), torch.eye(10)[torch.randint(10, (batch,))]
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        adam.zero_grad()
        lengths, images = model(x, y)
        capsulenet.caps_loss(y, lengths, x, images, 0.392).backward()
        adam.step()

    return step


def capsule_transformer(folder: Path, batch: int) -> Step:
    """mmheydari97/SACap: 16 frames of 32×32 to 1."""
    # Before tensorflow is replaced: Flax reads files with it, if it is there.
    import flax.training.train_state  # noqa: F401
    import jax
    import numpy as np

    for_pictures = ("matplotlib", "matplotlib.pyplot", "tqdm", "tqdm.auto")
    empty("tensorflow", "tensorflow_datasets", *for_pictures)
    sys.path.insert(0, str(folder))
    import jax_moving_mnist

    state = jax_moving_mnist.create_train_state(jax.random.PRNGKey(42), 1e-4, 16)
    frames = np.random.default_rng(0).uniform(-1, 1, (batch, 17, 32, 32, 1)).astype(np.float32)
    x, y = frames[:, :16], frames[:, 16:]

    def step() -> None:
        nonlocal state
        _, state, _ = jax_moving_mnist.train_step(state, (x, y))
        jax.block_until_ready(state)

    return step


def convlstm(folder: Path, batch: int) -> Step:
    """Trains holmdk/Video-Prediction-using-PyTorch: 64 channels, 10 frames of 64×64 to 10."""
    import torch

    sys.path.insert(0, str(folder))
    from models.seq2seq_ConvLSTM import EncoderDecoderConvLSTM

    model = EncoderDecoderConvLSTM(nf=64, in_chan=1)
    x, y = torch.rand(batch, 10, 1, 64, 64), torch.rand(batch, 1, 10, 64, 64)
    adam = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.98))

    def step() -> None:
        adam.zero_grad()
        torch.nn.functional.mse_loss(model(x, future_seq=10), y).backward()
        adam.step()

    return step


def pcae(folder: Path, batch: int) -> Step:
    """Trains mlberkeley/scae-pytorch: 16 parts on canvases of 40×40."""
    import torch

    without_cuda()
    empty("wandb", "easydict", "attrdict", "torch_optimizer")
    vars(sys.modules["easydict"])["EasyDict"] = Attributes
    vars(sys.modules["torch_optimizer"])["RAdam"] = torch.optim.RAdam
    sys.path.insert(0, str(folder))
    from scae.models.pcae import PCAE
    from scae.modules.part_capsule_ae import CapsuleImageEncoder, TemplateImageDecoder

    parts = Attributes(
        num_caps=16,
        caps_dim=6,
        feat_dim=16,
        lr=3e-3,
        lr_decay=0.998,
        weight_decay=0.0,
        optimizer="radam",
        lr_scheduler="exp",
        loss_ll_coeff=1.0,
        loss_mse_coeff=0.0,
        loss_temp_l1_coeff=0.0,
        loss_pres_l2_sparsity=Attributes(batch=0, capsules=0),
        encoder=Attributes(noise_scale=4.0, inverse_space_transform=True),
        decoder=Attributes(
            alpha_channel=False,
            template_nonlin="sigmoid",
            color_nonlin="sigmoid",
            template_size=[11, 11],
            output_size=[40, 40],
            lr_coeff=1.0,
        ),
    )
    options = Attributes(im_channels=1, num_classes=10, pcae=parts)
    model = PCAE(CapsuleImageEncoder(options), TemplateImageDecoder(options), options)
    x, y = torch.rand(batch, 1, 40, 40), torch.randint(10, (batch,))
    radam = torch.optim.RAdam(model.parameters(), lr=3e-3)

    def step() -> None:
        radam.zero_grad()
        model(x, y).loss.backward()
        radam.step()

    return step


def scae(folder: Path, batch: int) -> Step:
    """Trains bdsaglam/torch-scae: 40 parts, 32 objects, canvases of 40×40."""
    import torch

    empty("torchvision", "cv2", "monty", "monty.collections")
    vars(sys.modules["monty.collections"])["AttrDict"] = Attributes
    sys.path.insert(0, str(folder))
    import torch_scae.cv_ops
    from torch_scae.factory import make_scae
    from torch_scae.tests.sample_hparams import model_params

    # An in-place product on a view of a split, which torch no longer allows.
    code = Path(torch_scae.cv_ops.__file__).read_text()
    exec(code.replace("theta *= 2.", "theta = theta * 2."), vars(torch_scae.cv_ops))
    weights = {**model_params["scae_params"], "reconstruct_alternatives": False}
    model = make_scae({**model_params, "image_shape": (1, 40, 40), "scae_params": weights})
    x, y = torch.rand(batch, 1, 40, 40), torch.randint(10, (batch,))
    rmsprop = torch.optim.RMSprop(
        model.parameters(), lr=3e-5, momentum=0.9, eps=(1 / (10 * batch)) ** 2
    )

    def step() -> None:
        rmsprop.zero_grad()
        loss, _ = model.loss(model(x), x, y)
        loss.backward()
        rmsprop.step()

    return step


def tlb_keras(folder: Path, batch: int, *, backend: str) -> Step:
    """keras-team/keras-io: the example's model and `compile`, without its data and its `fit`."""
    os.environ["KERAS_BACKEND"] = backend
    import keras
    import numpy as np

    empty("matplotlib")
    images = np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 1), np.uint8)
    keras.datasets.cifar10.load_data = lambda: (images, images)
    # The example asks for float16.
    keras.mixed_precision.set_global_policy = lambda policy: None
    code = (folder / "examples" / "vision" / "temporal_latent_bottleneck.py").read_text()
    example: dict[str, Any] = {"__name__": "temporal_latent_bottleneck"}
    exec(code[: code.index("history = model.fit(")], example)
    random = np.random.default_rng(0)
    x = random.random((batch, 48, 48, 3), np.float32)
    y = random.integers(10, size=(batch, 1))

    return lambda: example["model"].train_on_batch(x, y)


STEPS: dict[str, Callable[[Path, int], Step]] = {
    "capsnet": capsnet,
    "capsule-transformer": capsule_transformer,
    "convlstm": convlstm,
    "pcae": pcae,
    "scae": scae,
    "tlb-keras-jax": partial(tlb_keras, backend="jax"),
    "tlb-keras-torch": partial(tlb_keras, backend="torch"),
}


class Attributes(dict):
    """Is a dictionary whose entries are also attributes, as peers' options are."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__
    __delattr__ = dict.__delitem__


def empty(*names: str) -> None:
    """Replaces packages that a step does not need by modules that have every name."""
    for name in names:
        module = types.ModuleType(name)
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        module.__getattr__ = _anything  # type: ignore[method-assign]
        sys.modules[name] = module


def _anything(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def without_cuda() -> None:
    """Makes `.cuda()` do nothing: some peers call it without asking."""
    import torch

    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    torch.nn.Module.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]


def main(case: str, folder: str, batch: str) -> None:
    """Builds a peer's step and serves it to the driver."""
    from tests.tools.peers.turn import serve

    # A peer's folder may have the name of one of our packages and no `__init__.py`. Python would
    # then import our package instead.
    sys.path[:] = [place for place in sys.path if Path(place).resolve() != ROOT]
    sys.stdout = sys.stderr
    serve(STEPS[case](Path(folder), int(batch)), int(batch))


if __name__ == "__main__":
    main(*sys.argv[1:])
