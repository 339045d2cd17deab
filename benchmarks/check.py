"""Faults planted in real images, and who finds them: facecheck check, cleanvision and cleanlab.

    python benchmarks/check.py ../shared/data --peers /tmp/venv/bin/python

In a temporary folder are 420 images as they are and 30 of each fault, planted in others. The peers
run in an environment of their own: pip install cleanvision 'cleanlab[datalab]'. Without --peers
facecheck runs alone.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

import facecheck
from facecheck.core.tables import read_table
from facecheck.core.workspace import BUILTIN_ENCODER
from facecheck.model.encoder import Encoder
from facecheck.model.transforms import Transform
from facecheck.training.feature_cache import FeatureCache
from facecheck.training.recipe import Recipe

Planter = Callable[[Image.Image, random.Random], Image.Image]


def dark(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(rng.uniform(0.05, 0.22))


def bright(image: Image.Image, rng: random.Random) -> Image.Image:
    """Over-exposed, or faded to white."""
    if rng.random() < 0.5:
        return ImageEnhance.Brightness(image).enhance(rng.uniform(6, 12))
    white = Image.new("RGB", image.size, "white")
    return Image.blend(image, white, rng.uniform(0.93, 0.98))


def low_information(image: Image.Image, rng: random.Random) -> Image.Image:
    """One colour, a soft gradient, or the picture with hardly any contrast."""
    colour = tuple(rng.randrange(100, 216) for _ in range(3))
    flat = Image.new("RGB", image.size, colour)
    way = rng.randrange(3)
    if way == 0:
        return flat
    if way == 1:
        ramp = Image.linear_gradient("L").resize(image.size).point(lambda value: value // 12)
        pixels = np.asarray(flat, np.uint8) + np.asarray(ramp, np.uint8)[:, :, None]
        return Image.fromarray(pixels)
    return Image.blend(flat, image, rng.uniform(0.01, 0.04))


def blurred(image: Image.Image, rng: random.Random) -> Image.Image:
    """Out of focus, moved, or enlarged from few pixels."""
    way, short = rng.randrange(3), min(image.size)
    if way == 0:
        return image.filter(ImageFilter.GaussianBlur(short * rng.uniform(0.015, 0.04)))
    if way == 1:
        pixels, length = (
            np.asarray(image, np.float32),
            max(4, round(short * rng.uniform(0.08, 0.15))),
        )
        steps = [np.roll(pixels, step - length // 2, axis=1) for step in range(length)]
        moved = np.mean(steps, axis=0)
        return Image.fromarray(moved.astype(np.uint8))
    few = (max(1, image.width // 8), max(1, image.height // 8))
    return image.resize(few, Image.Resampling.BOX).resize(image.size, Image.Resampling.BICUBIC)


def odd_shape(image: Image.Image, rng: random.Random) -> Image.Image:
    part = rng.uniform(0.12, 0.33)
    if rng.random() < 0.5:
        top = rng.uniform(0, 1 - part) * image.height
        return image.crop((0, round(top), image.width, round(top + part * image.width)))
    left = rng.uniform(0, 1 - part) * image.width
    return image.crop((round(left), 0, round(left + part * image.height), image.height))


def odd_size(image: Image.Image, rng: random.Random) -> Image.Image:
    by = rng.choice((rng.uniform(0.08, 0.15), rng.uniform(7, 10)))
    return image.resize([max(8, round(side * by)) for side in image.size])


def grey(image: Image.Image, _: random.Random) -> Image.Image:
    return image.convert("L").convert("RGB")


def no_face(image: Image.Image, rng: random.Random) -> Image.Image:
    """A corner of the picture, enlarged."""
    side = round(min(image.size) * rng.uniform(0.16, 0.24))
    left = rng.choice((0, image.width - side))
    return image.crop((left, 0, left + side, side)).resize(image.size, Image.Resampling.BICUBIC)


def tiny_face(image: Image.Image, rng: random.Random) -> Image.Image:
    """The picture small before a soft background of its own colours."""
    back = image.resize((3, 3), Image.Resampling.BOX).resize((320, 320), Image.Resampling.BICUBIC)
    side = rng.randrange(40, 52)
    back.paste(image.resize((side, side)), (rng.randrange(20, 250), rng.randrange(20, 250)))
    return back


def cut_off(image: Image.Image, rng: random.Random) -> Image.Image:
    """A third to a half of the face is outside."""
    side = round(min(image.size) * 0.62)
    gone = rng.uniform(0.42, 0.5)
    x, y = rng.choice(((gone, 0.2), (1 - gone - 0.62, 0.2), (0.19, gone), (0.19, 1 - gone - 0.62)))
    left, top = round(x * image.width), round(y * image.height)
    return image.crop((left, top, left + side, top + side))


def turned(image: Image.Image, rng: random.Random) -> Image.Image:
    edge = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    angle = rng.choice((90, 180, 270, rng.uniform(50, 310)))
    return image.rotate(angle, Image.Resampling.BICUBIC, expand=angle % 90 == 0, fillcolor=edge)


def several_faces(image: Image.Image, other: Image.Image) -> Image.Image:
    pair = Image.new("RGB", (2 * image.width, image.height))
    pair.paste(image, (0, 0))
    pair.paste(other.resize(image.size), (image.width, 0))
    return pair


def stranger(image: Image.Image, rng: random.Random) -> Image.Image:
    """Not a picture of anyone: a page of text, a chart, or stripes."""
    drawn = Image.new("RGB", image.size, "white")
    draw, (width, height) = ImageDraw.Draw(drawn), image.size
    way = rng.randrange(3)
    if way == 0:
        for row in range(6, height, 14):
            draw.text(
                (6, row), "".join(rng.choices("abcdefgh ijklmn opqrst", k=width // 7)), "black"
            )
    elif way == 1:
        for bar in range(8):
            top, colour = rng.randrange(height), tuple(rng.randrange(256) for _ in range(3))
            draw.rectangle((bar * width // 8, top, (bar + 1) * width // 8 - 3, height), colour)
    else:
        colours = [tuple(rng.randrange(256) for _ in range(3)) for _ in range(2)]
        for row in range(0, width + height, 16):
            draw.line((row, 0, row - height, height), colours[row // 16 % 2], 8)
    return drawn


PLANTERS: dict[str, Planter] = {
    "dark": dark, "bright": bright, "low information": low_information, "blurred": blurred,
    "odd shape": odd_shape, "odd size": odd_size, "grey": grey, "no face": no_face,
    "tiny face": tiny_face, "cut off": cut_off, "turned": turned, "outlier": stranger,
}  # fmt: skip


#: Twelve sources of six kinds, and of other sources what is planted under a wrong kind.
SOURCES = (
    *("photo/ffhq-256", "photo/celebahq-256", "photo/unsplash-men", "photo/ciplab-photos"),
    *("photo/utkface", "generated/stylegan-256", "generated/sdxl", "generated/flux"),
    *("cartoon/anime-96", "cartoon/pacs-cartoon", "painting/pacs-art", "sketch/cufs-sketches"),
)
STRANGERS = (
    *("photo/web-faces", "photo/caltech-faces", "generated/sd21", "generated/portraits-512"),
    *("cartoon/anime-64", "cartoon/drawn-avatars", "painting/popart", "sculpture/buddha-statues"),
)
#: Faults of faces are planted where faces are photographed, or look so.
OF_FACES = ("no face", "tiny face", "cut off", "turned", "several faces")
DUPLICATES = ("exact duplicate", "near duplicate")
CLEAN, EACH = 35, 30


def plant(data: Path, root: Path, seed: int) -> dict[str, str]:
    """Write the images under ``root/images/<kind>/<source>``; return the fault of each by path."""
    rng = random.Random(seed)
    faults: dict[str, str] = {}
    pools = {name: sorted((data / name).iterdir()) for name in (*SOURCES, *STRANGERS)}
    for pool in pools.values():
        rng.shuffle(pool)

    def write(image: Image.Image, name: str, place: str, fault: str) -> None:
        target = root / "images" / place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target, quality=92)
        faults[str(target)] = fault

    def take(name: str) -> tuple[Image.Image, str]:
        path = pools[name].pop()
        with Image.open(path) as opened:
            return opened.convert("RGB"), path.stem

    for source in SOURCES:
        for number in range(CLEAN):
            image, stem = take(source)
            write(image, f"{number:03}-{stem}.jpg", source, "")
    clean = [Path(path) for path in faults]
    for fault in (*PLANTERS, "several faces", "label error", *DUPLICATES):
        for number in range(EACH):
            photographic = [name for name in SOURCES if name.startswith(("photo", "generated"))]
            coloured = [name for name in SOURCES if not name.startswith("sketch")]
            source = rng.choice(photographic if fault in OF_FACES else coloured)
            name = f"{fault.replace(' ', '-')}-{number:02}.jpg"
            if fault in PLANTERS:
                write(PLANTERS[fault](take(source)[0], rng), name, source, fault)
            elif fault == "several faces":
                write(several_faces(take(source)[0], take(source)[0]), name, source, fault)
            elif fault == "label error":
                kind = source.split("/")[0]
                others = SOURCES if number % 2 else STRANGERS
                other = rng.choice([one for one in others if one.split("/")[0] != kind])
                write(take(other)[0], name, source, fault)
            else:
                original = clean.pop(rng.randrange(len(clean)))
                target = original.with_name(f"{name[:-4]}-of-{original.name}")
                if fault == "exact duplicate":
                    shutil.copy(original, target)
                else:
                    with Image.open(original) as image:
                        scale = rng.uniform(0.7, 0.9)
                        size = [round(side * scale) for side in image.size]
                        image.resize(size).save(target, quality=rng.randrange(50, 80))
                faults[str(target)] = fault
    return faults


def of_facecheck(root: Path, features: Path) -> dict[str, set[str]]:
    """Return the files that check has a row for, by reason."""
    manifest = root / "m.csv"
    facecheck.index([root / "images"], manifest)
    facecheck.dedup(manifest)
    result = facecheck.check(manifest, facecheck.FaultOptions(features=features))
    found: dict[str, set[str]] = {}
    for row in read_table(result.table).iter_rows(named=True):
        files = [row["path"]]
        if row["reason"] in DUPLICATES:
            files += json.loads(row["neighbours"])
        found.setdefault(row["reason"], set()).update(str(root / file) for file in files)
    return found


def write_features(root: Path, features: Path) -> None:
    """Write the encoder's features of all records, and their labels, for cleanlab."""
    encoder = Encoder(BUILTIN_ENCODER)
    transform = Transform.for_size(encoder.image_size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    cache = FeatureCache(features, encoder, Recipe(), transform)
    records = facecheck.read_manifest(root / "m.csv")
    cache.compute({0: records})
    sets = [one[:, 0] for one in cache.read(records, (0,))]
    np.savez(
        root / "features.npz",
        features=np.concatenate(sets, axis=1).astype(np.float32),
        labels=records.frame["kind"].to_numpy().astype(str),
        paths=records.frame["path"].to_numpy().astype(str),
    )


#: Runs in the peers' environment, which has no facecheck. Each is used as its documentation says:
#: Imagelab on the folder; Datalab on features and on out-of-sample probabilities of a logistic
#: regression on them.
PEERS = """
import json, sys
from pathlib import Path
import numpy as np
root = Path(sys.argv[1])
found = {}
from cleanvision import Imagelab
lab = Imagelab(data_path=str(root / "images"))
lab.find_issues()
names = {"dark": "dark", "light": "bright", "low_information": "low information",
         "blurry": "blurred", "odd_aspect_ratio": "odd shape", "odd_size": "odd size",
         "grayscale": "grey"}
for name, reason in names.items():
    flags = lab.issues[f"is_{name}_issue"]
    found[reason] = [str(path) for path in lab.issues.index[flags]]
for name in ("exact", "near"):
    sets = lab.info[f"{name}_duplicates"]["sets"]
    found[f"{name} duplicate"] = [str(path) for one in sets for path in one]
from cleanlab import Datalab
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
data = np.load(root / "features.npz")
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
folds = StratifiedKFold(5, shuffle=True, random_state=0)
answers = cross_val_predict(
    model, data["features"], data["labels"], cv=folds, method="predict_proba")
lab = Datalab({"label": list(data["labels"])}, label_name="label", verbosity=0)
lab.find_issues(pred_probs=answers, features=data["features"],
                issue_types={"label": {}, "outlier": {}})
issues = lab.get_issues()
for name, reason in (("label", "label error"), ("outlier", "outlier")):
    found[reason] = [str(path) for path in data["paths"][issues[f"is_{name}_issue"].to_numpy()]]
(root / "peers.json").write_text(json.dumps(found))
"""


def of_peers(root: Path, python: Path) -> dict[str, set[str]]:
    """Return the files that cleanvision and cleanlab flag, by our reasons."""
    subprocess.run([python, "-c", PEERS, root], check=True, stdout=subprocess.DEVNULL)
    return {
        reason: set(files)
        for reason, files in json.loads((root / "peers.json").read_text()).items()
    }


def scored(found: set[str], fault: str, faults: dict[str, str]) -> str:
    """Return recall, precision, and how many of the wrongly flagged have another fault."""
    planted = {path for path, own in faults.items() if own == fault}
    wanted = set(planted)
    if fault in DUPLICATES:  # the original belongs to the pair
        wanted |= {str(Path(path).with_name(Path(path).name.split("-of-")[1])) for path in planted}
    others = {path for path in found - wanted if faults[path]}
    right = len(found & wanted)
    precision = f"{right / len(found):.2f}" if found else "-"
    clean = len(found - wanted - others)
    return f"{len(found & planted) / len(planted):.2f} | {precision} | {clean} | {len(others)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--peers", type=Path, help="the Python that has cleanvision and cleanlab")
    parser.add_argument("--features", type=Path, help="keep the encoder's features here")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        root = Path(made).resolve()
        features = given.features or root / "features"
        faults = plant(given.data, root, given.seed)
        ours = of_facecheck(root, features)
        theirs = {}
        if given.peers:
            write_features(root, features)
            theirs = of_peers(root, given.peers)
    count = sum(not fault for fault in faults.values())
    print(f"{count} images of {len(SOURCES)} sources as they are, {EACH} of each fault\n")
    head = "recall | precision | of those as they are | with another fault"
    print(f"| fault | facecheck: {head} | cleanvision, cleanlab: {head} |")
    print("|---|" + "---|" * 8)
    for fault in dict.fromkeys(fault for fault in faults.values() if fault):
        peer = scored(theirs[fault], fault, faults) if fault in theirs else "- | - | - | -"
        print(f"| {fault} | {scored(ours.get(fault, set()), fault, faults)} | {peer} |", flush=True)


if __name__ == "__main__":
    main()
