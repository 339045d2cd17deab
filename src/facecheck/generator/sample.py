"""generate sample: images by a generator, each of which says that it is synthetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from facecheck.core.errors import FacecheckError, UsageError, reason
from facecheck.core.files import atomic_path, path_text, sha256_file, to_path
from facecheck.core.labels import check_kind
from facecheck.core.parallel import Progress, chunked, silent
from facecheck.core.version import VERSION
from facecheck.generator.checkpoint import Header, load_generator
from facecheck.generator.networks import Generator
from facecheck.generator.options import ALL, GenerateSampleOptions
from facecheck.generator.pictures import Pixels, grid, to_pixels
from facecheck.generator.rng import noise_for
from facecheck.model.device import choose_device

#: IPTC's word for what a trained model made.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
#: Images of one step. Always so many are computed: how an image rounds can depend on it.
_BATCH = 32
#: Most images that the grid shows.
_SHOWN = 100
#: XMP as the PNG specification has it, in an iTXt chunk of this keyword.
_XMP_KEYWORD = "XML:com.adobe.xmp"
_XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' xmp:CreatorTool="{tool}" Iptc4xmpExt:DigitalSourceType="{type}"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


@dataclass(frozen=True)
class GenerateSampleResult:
    """What ``generate sample`` did.

    Attributes:
        out: the folder of the images, ``<kind>-<seed>-<number>.png``.
        grid: the first of them in one picture, next to the folder.
        checkpoint: the generator.
        images: how many of each kind.
        size: side in pixels.
        seed: of the noise.
    """

    out: Path
    grid: Path
    checkpoint: Path
    images: Mapping[str, int]
    size: int
    seed: int


def generate_sample(
    checkpoint: Path | str,
    out: Path | str,
    options: GenerateSampleOptions = GenerateSampleOptions(),
    *,
    progress: Progress = silent,
) -> GenerateSampleResult:
    """Write images by a generator to a folder, and a grid of them to ``<folder>.grid.png``.

    Each PNG says in its metadata that it is synthetic: as text, and in XMP by IPTC's digital
    source type ``trainedAlgorithmicMedia``. An image depends on checkpoint, kind, seed and number
    alone: on one machine the same ones give the same bytes, and more images begin with those of
    fewer.

    Args:
        checkpoint: by ``generate train``.
        out: the folder; may exist if it is empty.
        options: which images, and whether a folder that is not empty may be written into.
        progress: called with images written and to write.

    Raises:
        UsageError: the generator is not there or cannot make the kind, the device is unknown, or
            the folder is not empty, or is a file.
        CheckpointError: the generator is damaged.
        FacecheckError: an image cannot be written.
    """
    checkpoint, out = to_path(checkpoint, "a generator"), to_path(out, "out")
    seed, count = options.seed, options.count
    target = choose_device(options.device)
    network, header = load_generator(checkpoint)
    places = kind_numbers(options.kind, header, checkpoint)
    if out.name in {"", ".."}:
        raise UsageError(f"{path_text(out)}: pass a folder's own name as --out")
    picture = out.with_name(out.name + ".grid.png")
    network.to(target).to(memory_format=torch.channels_last)
    digest = sha256_file(checkpoint)
    kinds = [places[number % len(places)] for number in range(count)]
    with _writing(out):
        _refuse(out, picture, overwrite=options.overwrite)
        out.mkdir(parents=True, exist_ok=True)
        first: list[Pixels] = []
        for number, pixels in enumerate(draw(network, header, kinds, seed, target)):
            if number < _SHOWN:
                first.append(pixels)
            name = header.kinds[kinds[number]]
            facts = f"checkpoint sha256 {digest}, kind {name}, seed {seed}, number {number}"
            _write(Image.fromarray(pixels), out / f"{name}-{seed}-{number:06}.png", facts)
            progress(number + 1, count)
        facts = f"checkpoint sha256 {digest}, seed {seed}, the first {len(first)}"
        _write(grid(np.stack(first)), picture, facts)
    return GenerateSampleResult(
        out=out,
        grid=picture,
        checkpoint=checkpoint,
        images={header.kinds[place]: kinds.count(place) for place in places},
        size=header.size,
        seed=seed,
    )


def draw(
    network: Generator, header: Header, kinds: list[int], seed: int, device: torch.device
) -> Iterator[Pixels]:
    """Yield an image of each of these kinds, shape (size, size, 3).

    Args:
        network: in evaluation mode, on ``device``.
        header: of the network.
        kinds: numbers in the header's kinds.
        seed: of the noise; an image depends on it, its kind and its place among them.
        device: where to compute.
    """
    for numbers in chunked(range(len(kinds)), _BATCH):
        spare = _BATCH - len(numbers)
        noise = noise_for(seed, [*numbers, *numbers[:1] * spare], header.latent)
        wanted = torch.tensor([*(kinds[number] for number in numbers), *[0] * spare])
        with torch.inference_mode():
            made = network(noise.to(device), wanted.to(device))
        yield from to_pixels(made)[: len(numbers)]


def kind_numbers(kind: str, header: Header, checkpoint: Path) -> list[int]:
    """Return the numbers that a generator's header gives a kind, or ``all`` of its kinds.

    Raises:
        UsageError: the generator cannot make the kind.
    """
    if kind == ALL:
        return list(range(len(header.kinds)))
    if check_kind(kind, "--kind") not in header.kinds:
        raise UsageError(
            f"{path_text(checkpoint)}: makes {', '.join(header.kinds)}, not {kind}: pass one of "
            "these as --kind, or train on images of it"
        )
    return [header.kinds.index(kind)]


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # a full disk, a folder that may not be written to, a name too long
        raise FacecheckError(
            f"{path_text(out)}: cannot be written ({reason(error)}): pass another --out, "
            "or free some space and pass --overwrite"
        ) from None


def _refuse(out: Path, picture: Path, *, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{path_text(out)} is a file: pass a folder as --out")
    taken = [
        path for path in (out, picture) if path.is_file() or (path.is_dir() and any(path.iterdir()))
    ]
    if taken and not overwrite:
        raise UsageError(
            f"{path_text(taken[0])} exists{' and is not empty' if taken[0] == out else ''}: pass "
            "another --out, or --overwrite to replace images of the same names"
        )


def _write(image: Image.Image, path: Path, facts: str) -> None:
    tool = f"facecheck {VERSION}"
    info = PngInfo()
    info.add_text("Software", tool)
    info.add_text("Description", "Synthetic image: made by a trained generative model.")
    info.add_text("Source", f"{DIGITAL_SOURCE_TYPE}; {facts}")
    info.add_itxt(_XMP_KEYWORD, _XMP.format(tool=tool, type=DIGITAL_SOURCE_TYPE))
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=info)
