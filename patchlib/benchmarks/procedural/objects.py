"""Three-dimensional objects of the procedural benchmark, made from a seed and seen by a camera.

Families share everything but print; siblings of a family differ in at least `SIBLING_DIFFERENCE` of the pixels of the
object seen from the front.
"""

import functools
import math

import numpy as np
from PIL import Image, ImageChops

from patchlib.benchmarks.procedural.patterns import palette, stream
from patchlib.benchmarks.procedural.shapes import SHAPES, Face, ProceduralObject

SIBLING_DIFFERENCE = 0.05
_FAMILY, _VARIANT = 1, 2  # first key of the two streams
_PATIENCE = 6  # attempts at print alone, and then at some colours


def _build(seed: int, variant: int, attempt: int) -> ProceduralObject:
    family, own = stream(_FAMILY, seed), stream(_VARIANT, seed, variant, attempt)
    shape = SHAPES[family.integers(len(SHAPES))]
    colours = palette(family)
    if attempt >= _PATIENCE:  # too little print to tell siblings apart: they get other colours as well
        colours = [colours[0], *palette(own)[1:4], *colours[4:]] if attempt < 2 * _PATIENCE else palette(own)
    return shape(family, own, colours)


def difference(a: ProceduralObject, b: ProceduralObject) -> float:
    """Share of the object's pixels (0..1), seen from the front, whose colour differs visibly (by 40 of 255)."""
    seen = [np.asarray(render(o, side=96.0)).astype(np.int16) for o in (a, b)]
    height, width = (min(s.shape[k] for s in seen) for k in (0, 1))
    one, two = (s[:height, :width] for s in seen)
    solid = one[..., 3] > 127
    return float((np.abs(one - two).max(axis=-1) > 40)[solid].mean())


@functools.lru_cache(maxsize=512)
def make_object(seed: int, variant: int = 0) -> ProceduralObject:
    """Object `variant` of the family `seed`, drawn anew until it differs enough from the variants before it."""
    elders = [make_object(seed, v) for v in range(variant)]
    for attempt in range(50):
        made = _build(seed, variant, attempt)
        if all(difference(elder, made) >= SIBLING_DIFFERENCE for elder in elders):
            return made
    raise ValueError(
        f"family {seed} yields no variant {variant} that differs in {SIBLING_DIFFERENCE:.0%} of the pixels"
    )


def _coefficients(corners: np.ndarray, width: int, height: int) -> tuple[float, ...]:
    """Pillow's eight perspective coefficients, image -> texture, rounded so that every machine uses the same ones."""
    rows, right = [], []
    for (x, y), (u, v) in zip(corners, ((0, 0), (width, 0), (width, height), (0, height)), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return tuple(float(f"{value:.7g}") for value in np.linalg.solve(np.array(rows, float), np.array(right, float)))


def _padded(texture: Image.Image, scale: float) -> Image.Image:
    """The texture reduced to about the size it is seen at, with a clear rim so that its edges come out smooth."""
    factor = max(1, int(1 / max(scale, 1e-3)))
    if factor > 1:
        texture = texture.reduce(factor)
    rimmed = np.pad(np.asarray(texture), ((1, 1), (1, 1), (0, 0)), mode="edge")
    rimmed[[0, -1], :, 3] = rimmed[:, [0, -1], 3] = 0
    return Image.fromarray(rimmed)


def _turned(item: ProceduralObject, yaw: float) -> tuple[Face, ...]:
    """Faces with the print of a round object turned by `yaw`."""
    if item.wrap is None:
        return item.faces
    index, shading, around = item.wrap
    body = np.asarray(around)
    columns = (index + round(math.radians(yaw) * around.width / 5.2)) % around.width
    skin = Image.fromarray(body[np.arange(body.shape[0])[:, None], columns])
    texture = ImageChops.multiply(skin, Image.merge("RGB", (shading,) * 3)).convert("RGBA")
    texture.putalpha(item.faces[0].texture.getchannel("A"))
    return (Face(texture, item.faces[0].corners),)


def render(
    item: ProceduralObject, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, *, side: float
) -> Image.Image:
    """What a camera sees of an object, cut tightly: RGBA, as large as the object's bounding box.

    Args:
        yaw, pitch, roll: degrees: turn about the vertical axis, at most 60 either way; tilt towards the viewer; turn in
            the image plane.
        side: square root of the area of the bounding box to reach, pixels.
    """
    faces = _turned(item, yaw)
    y, p, r = (math.radians(v) for v in (yaw if item.wrap is None else 0.0, pitch, roll))
    turn = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    tilt = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    spin = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    turned = spin @ tilt @ turn
    flat = [_projected(np.array(face.corners, float), turned) for face in faces]
    everything = np.concatenate([_projected(face.outline, turned) for face in faces])
    extent = np.ptp(everything, axis=0)
    scale = side / math.sqrt(extent[0] * extent[1])
    origin = everything.min(axis=0) * scale - 2
    size = (math.ceil(extent[0] * scale + 4 - 1e-6), math.ceil(extent[1] * scale + 4 - 1e-6))
    canvas = Image.new("RGBA", size)
    for face, corners in zip(faces, flat, strict=True):
        points = np.round(corners * scale - origin, 3)
        u, v = points[1] - points[0], points[3] - points[0]
        facing = u[0] * v[1] - u[1] * v[0]
        if facing < 2.0:
            continue
        seen = math.sqrt(facing / (face.texture.width * face.texture.height))
        texture = _padded(face.texture, seen)
        a, b, c, d, e, f, g, h = _coefficients(points, texture.width - 2, texture.height - 2)
        onto = (a + g, b + h, c + 1, d + g, e + h, f + 1, g, h)  # the texture has gained a rim of one pixel
        layer = texture.transform(size, Image.Transform.PERSPECTIVE, onto, Image.Resampling.BILINEAR)
        light = [min(255, round(v * face.brightness)) for v in range(256)]
        canvas.alpha_composite(layer.point(light * 3 + list(range(256))))
    alpha = canvas.getchannel("A").point([min(255, v * 4 // 3) for v in range(256)])
    canvas.putalpha(alpha)
    box = alpha.point([0] * 128 + [255] * 128).getbbox()
    return canvas.crop(box) if box else canvas


def _projected(points: np.ndarray, turn: np.ndarray) -> np.ndarray:
    space = points @ turn.T
    return space[:, :2] * (5.0 / (5.0 + space[:, 2:]))
