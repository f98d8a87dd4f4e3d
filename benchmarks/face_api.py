"""The age network of `@vladmandic/face-api`, as far as it is needed to measure it.

Its weights are two files of the npm package, model/age_gender_model-weights_manifest.json and the
file of numbers beside it. `python benchmarks/face_api.py PACKAGE` runs the package itself in Node
on the example photographs and compares the ages.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from wrinkle.errors import WrinkleError

MANIFEST = "age_gender_model-weights_manifest.json"
SIDE = 112
MEAN = (122.782, 117.001, 104.298)
TRAINED_ON = ("utkface", "fgnet")
"""Of the sets measured here; its author also names LAP, IMDB-WIKI, CACD and MegaAge."""
PROGRAM = """
const fs = require('fs'), path = require('path'), folder = process.argv[2], input = process.argv[3];
// The bundle is for browsers: its TensorFlow.js must not take this for Node.
const node = process;
globalThis.process = undefined;
require('vm').runInThisContext(fs.readFileSync(path.join(folder, 'dist', 'face-api.js'), 'utf8'));
globalThis.process = node;
const faceapi = globalThis.faceapi, tf = faceapi.tf, typed = Object.getPrototypeOf(Int8Array);
tf.env().setPlatform('other', {isTypedArray: (values) => values instanceof typed});
faceapi.env.setEnv({Canvas: class {}, Image: class {}, Video: class {}});
(async () => {
  await tf.setBackend('cpu');
  const net = new faceapi.AgeGenderNet(), side = 112, model = path.join(folder, 'model');
  const manifest = JSON.parse(fs.readFileSync(path.join(model, MANIFEST)));
  const bytes = (name) => {
    const b = fs.readFileSync(path.join(model, name));
    return b.buffer.slice(b.byteOffset, b.byteOffset + b.length);
  };
  const read = async (names) => names.map((name) => bytes(path.basename(name)));
  net.loadFromWeightMap(await tf.io.weightsLoaderFactory(read)(manifest, ''));
  const pixels = new Uint8Array(fs.readFileSync(input));
  const count = pixels.length / (side * side * 3);
  const ages = [];
  for (let i = 0; i < count; i++) {
    const face = pixels.slice(i * side * side * 3, (i + 1) * side * side * 3);
    const found = await net.predictAgeAndGender(tf.tensor3d(face, [side, side, 3], 'int32'));
    ages.push(found.age);
  }
  console.log(JSON.stringify(ages));
})();
"""


class AgeNet:
    """TinyXception and a linear layer for the age.

    Args:
        folder: the unpacked npm package, or its folder `model`.

    Raises:
        WrinkleError: the weights are not there.
    """

    def __init__(self, folder: Path) -> None:
        self.weights = read_weights(folder if (folder / MANIFEST).is_file() else folder / "model")

    def __call__(self, pixels: Tensor) -> Tensor:
        """Faces (B, 3, 112, 112), rgb from 0 to 255 → years (B,)."""
        x = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / 255
        x = self._convolution(x, "entry_flow/conv_in", 2).relu()
        x = self._reduction(x, "entry_flow/reduction_block_0", activate=False)
        x = self._reduction(x, "entry_flow/reduction_block_1")
        for number in range(2):
            y = x
            for part in range(3):
                name = f"middle_flow/main_block_{number}/separable_conv{part}"
                y = self._separable(y.relu(), name)
            x = x + y
        x = self._reduction(x, "exit_flow/reduction_block")
        x = self._separable(x, "exit_flow/separable_conv").relu().mean((2, 3))
        return (x @ self.weights["fc/age/weights"] + self.weights["fc/age/bias"])[:, 0]

    def _reduction(self, x: Tensor, name: str, activate: bool = True) -> Tensor:
        y = self._separable(x.relu() if activate else x, f"{name}/separable_conv0")
        y = self._separable(y.relu(), f"{name}/separable_conv1")
        y = F.max_pool2d(same(y, 3, 2, -torch.inf), 3, 2)
        return y + self._convolution(x, f"{name}/expansion_conv", 2)

    def _convolution(self, x: Tensor, name: str, stride: int) -> Tensor:
        filters = self.weights[f"{name}/filters"].permute(3, 2, 0, 1)
        x = same(x, filters.shape[-1], stride)
        return F.conv2d(x, filters, self.weights[f"{name}/bias"], stride)

    def _separable(self, x: Tensor, name: str) -> Tensor:
        depthwise = self.weights[f"{name}/depthwise_filter"].permute(2, 3, 0, 1)
        pointwise = self.weights[f"{name}/pointwise_filter"].permute(3, 2, 0, 1)
        x = F.conv2d(x, depthwise, padding=1, groups=x.shape[1])
        return F.conv2d(x, pointwise, self.weights[f"{name}/bias"])


def same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """TensorFlow's SAME padding: an odd pixel is on the right and at the bottom."""
    side = x.shape[-1]
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    before, after = total // 2, total - total // 2
    return F.pad(x, (before, after, before, after), value=value)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Name → tensor; numbers of one byte are scaled as the manifest says."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        data = b"".join((folder / path).read_bytes() for part in manifest for path in part["paths"])
    except OSError as error:
        raise WrinkleError(f"{folder} has no weights of face-api: {error}") from None
    weights, start = {}, 0
    for entry in (entry for part in manifest for entry in part["weights"]):
        code = entry.get("quantization")
        kind = np.dtype(code["dtype"] if code else entry["dtype"])
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(data, kind, count, start).astype(np.float32)
        start += count * kind.itemsize
        if code:
            values = values * np.float32(code["scale"]) + np.float32(code["min"])
        weights[entry["name"]] = torch.from_numpy(values.reshape(entry["shape"]))
    return weights


def in_node(folder: Path, pixels: np.ndarray) -> list[float]:
    """Ages of faces (N, 112, 112, 3) uint8 RGB by the package itself, in Node."""
    with tempfile.TemporaryDirectory() as temporary:
        program, faces = Path(temporary, "ages.js"), Path(temporary, "faces")
        program.write_text(PROGRAM.replace("MANIFEST", f"'{MANIFEST}'"), encoding="utf-8")
        faces.write_bytes(pixels.tobytes())
        command = ["node", str(program), str(folder.resolve()), str(faces)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    ages: list[float] = json.loads(done.stdout.splitlines()[-1])
    return ages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, help="the unpacked npm package")
    parser.add_argument("photographs", type=Path, nargs="*", help="by default the examples")
    args = parser.parse_args()
    examples = Path(__file__).resolve().parents[1] / "examples"
    paths = args.photographs or sorted(examples.glob("*.jpg"))
    pictures = [Image.open(path).convert("RGB").resize((SIDE, SIDE)) for path in paths]
    pixels = np.stack([np.asarray(picture) for picture in pictures])
    ours = AgeNet(args.package)(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
    theirs = in_node(args.package, pixels)
    for path, own, other in zip(paths, ours.tolist(), theirs, strict=True):
        print(f"{path.name:<40}{own:10.4f}{other:10.4f}")
    print(f"largest difference: {np.abs(ours.numpy() - theirs).max():.2g} years")


if __name__ == "__main__":
    main()
