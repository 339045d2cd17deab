"""What provenance readers find in the same marked files, and what reading them costs a scan.

    python benchmarks/provenance.py FACES [--others PYTHON]

FACES is a folder of face crops, such as ``../shared/data/photo/ffhq-256``. Files are signed by the
C2PA's builder with a certificate made here, and marked by Pillow and, where they are installed, by
exiftool and exiv2. ``--others`` is the Python of an environment with bonafide, c2pa-scanner and
issynthetic (Python 3.12 or newer), which are asked about the same files. The costs are the time for
one file in which nothing is found, and the processor time of ``scan`` with provenance on and off in
turn, all processes counted, since the machine may be shared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.provenance.signing import TYPES, created, identity, signed

from facecheck.provenance.options import EvidenceOptions
from facecheck.provenance.read import load_evidence, read_provenance

PARAMETERS = "a face\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
COMFY = json.dumps({"3": {"class_type": "KSampler", "inputs": {"seed": 5}}})
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    'syntax-ns#"><rdf:Description rdf:about="" xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" {}/></rdf:RDF></x:xmpmeta>'
)
#: Runs in the other environment: prints what each package says of each file, as JSON.
OTHERS = """
import json, subprocess, sys
from pathlib import Path
from c2pa_scanner.infrastructure.c2pa_reader import read_provenance
from issynthetic.core.inspector import Inspector
from issynthetic.knowledge.config import Config
inspector, said = Inspector(config=Config.load()), {}
for path in map(Path, sys.argv[1:]):
    has, kind, maker = read_provenance(path.read_bytes(), "")
    scanner = " ".join(filter(None, ("manifest" if has else "", (kind or "").rpartition("/")[2])))
    done = subprocess.run([Path(sys.executable).with_name("bonafide"), "detect", str(path)],
                          capture_output=True, text=True)
    decided = [line.rpartition("decision:")[2] for line in done.stdout.splitlines()
               if "decision:" in line]
    found = inspector.inspect(path)
    word = {True: "synthetic", False: "not synthetic"}.get(found.is_generated, "uncertain")
    said[path.name] = (decided[0].strip() if decided else "error", scanner or "-", word)
print(json.dumps(said))
"""


def saved(image: Image.Image, file_format: str, **how: object) -> bytes:
    """Return an image as a file."""
    stream = BytesIO()
    image.save(stream, file_format, **how)
    return stream.getvalue()


def png(image: Image.Image, **texts: str) -> bytes:
    """Return a PNG with text chunks."""
    info = PngInfo()
    for key, text in texts.items():
        info.add_itxt(key.replace("__", ":").replace("_dot_", "."), text)
    return saved(image, "PNG", pnginfo=info)


def exif(tags: dict[int, str], comment: bytes = b"") -> bytes:
    """Return EXIF with tags and a UserComment."""
    made = Image.Exif()
    made.update(tags)
    if comment:
        made.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return made.tobytes()


def tool(program: str, *arguments: str) -> Callable[[Path], None] | None:
    """Return what runs a program on a file, or None where it is not installed."""
    if shutil.which(program) is None:
        return None
    return lambda path: (
        subprocess.run([program, *arguments, str(path)], check=True, capture_output=True) and None
    )


def make(folder: Path, image: Image.Image) -> dict[str, str]:
    """Write the marked files; return what each holds, in words, by its name."""
    jpeg = saved(image, "JPEG")
    captured = signed(jpeg, "image/jpeg", [created("digitalCapture")])
    made = signed(jpeg, "image/jpeg", [created("trainedAlgorithmicMedia")])
    edited = {
        "action": "c2pa.edited",
        "digitalSourceType": f"{TYPES}compositeWithTrainedAlgorithmicMedia",
    }
    files: dict[str, tuple[str, bytes, Callable[[Path], None] | None]] = {}

    def add(
        name: str, words: str, data: bytes, change: Callable[[Path], None] | None = None
    ) -> None:
        files[name] = (words, data, change)

    add("plain.jpg", "nothing", jpeg)
    add(
        "camera.jpg", "a camera in EXIF", saved(image, "JPEG", exif=exif({271: "Canon", 272: "R5"}))
    )
    add("c2pa-generated.jpg", "C2PA, generated", made)
    tampered = bytearray(made)
    tampered[-100] ^= 0x55
    add("c2pa-tampered.jpg", "C2PA, generated, file changed after", bytes(tampered))
    add("c2pa-capture.jpg", "C2PA, captured", captured)
    add(
        "c2pa-edited.jpg",
        "C2PA, captured, then edited by a model",
        signed(captured, "image/jpeg", [edited], parent=captured),
    )
    add(
        "c2pa-resized.jpg",
        "C2PA, generated, then resized",
        signed(made, "image/jpeg", [{"action": "c2pa.resized"}], parent=made),
    )
    add(
        "c2pa-generated.png",
        "C2PA, generated, PNG",
        signed(saved(image, "PNG"), "image/png", [created("trainedAlgorithmicMedia")]),
    )
    xmp = XMP.format(f'Iptc4xmpExt:DigitalSourceType="{TYPES}trainedAlgorithmicMedia"')
    add("iptc.webp", "IPTC source type, WebP", saved(image, "WEBP", xmp=xmp.encode()))
    add("iptc.avif", "IPTC source type, AVIF", saved(image, "AVIF", xmp=xmp.encode()))
    source = f"-XMP-iptcExt:DigitalSourceType={TYPES}trainedAlgorithmicMedia"
    for name, words, change in (
        ("iptc-exiftool.jpg", "IPTC source type, by exiftool", ("-q", source)),
        ("iptc-exiftool.png", "IPTC source type, by exiftool, PNG", ("-q", source)),
        (
            "google-credit.jpg",
            "IIM credit, by exiftool",
            ("-q", "-IPTC:Credit=Made with Google AI"),
        ),
        ("comment-exiftool.jpg", "UserComment, by exiftool", ("-q", f"-UserComment={PARAMETERS}")),
    ):
        data = jpeg if name.endswith("jpg") else saved(image, "PNG")
        add(name, words, data, tool("exiftool", "-overwrite_original", *change))
    key = "Xmp.iptcExt.DigitalSourceType"
    change = tool("exiv2", f"-Mset {key} {TYPES}compositeWithTrainedAlgorithmicMedia")
    add("iptc-exiv2.jpg", "IPTC composite, by exiv2", jpeg, change)
    comment = f"-Mset Exif.Photo.UserComment charset=Unicode {PARAMETERS}".replace("\n", " ")
    add("comment-exiv2.jpg", "UserComment, by exiv2, Unicode", jpeg, tool("exiv2", comment))
    add(
        "comment-exiv2.png",
        "UserComment, by exiv2, PNG",
        saved(image, "PNG"),
        tool("exiv2", comment),
    )
    add("webui.png", "Stable Diffusion web UI", png(image, parameters=PARAMETERS))
    add("comfyui.png", "ComfyUI", png(image, prompt=COMFY, workflow='{"last_node_id": 9}'))
    add("comfyui.webp", "ComfyUI, WebP", saved(image, "WEBP", exif=exif({272: f"prompt:{COMFY}"})))
    add("invokeai.png", "InvokeAI", png(image, invokeai_metadata='{"positive_prompt": "x"}'))
    add("swarmui.png", "SwarmUI", png(image, parameters='{"sui_image_params": {"prompt": "x"}}'))
    add("fooocus.png", "Fooocus", png(image, fooocus_scheme="fooocus", parameters="{}"))
    add("novelai.png", "NovelAI", png(image, Software="NovelAI", Title="AI generated image"))
    job = "a face --v 6 Job ID: 0cf3a3f1-2f36-4e5c-9a51-7a1e0c1f4c11"
    add("midjourney.png", "Midjourney", png(image, Description=job))
    flux = {305: "AI generated;txt2img;flux", 271: "Black Forest Labs", 272: "flux-dev"}
    add("flux.jpg", "Flux", saved(image, "JPEG", exif=exif(flux)))
    add("grok.jpg", "Grok", saved(image, "JPEG", exif=exif({270: "Signature: " + "aB3/" * 22})))
    label = XMP.format('TC260:AIGC="{&quot;Label&quot;:&quot;1&quot;}"')
    add("aigc.png", "China's AIGC label", png(image, XML__com_dot_adobe_dot_xmp=label))
    words = {}
    for name, (said, data, change) in files.items():
        if change is None and ("exiftool" in said or "exiv2" in said):
            continue
        (folder / name).write_bytes(data)
        if change is not None:
            change(folder / name)
        words[name] = said
    return words


def compare(image: Image.Image, others: Path | None) -> None:
    """Print a table of what each reader finds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = make(folder, image)
        root = folder / "root.pem"
        root.write_text(identity().root)
        evidence = load_evidence(EvidenceOptions(trust=root))
        said: dict[str, list[str]] = {}
        if others is not None:
            paths = [str(folder / name) for name in words]
            done = subprocess.run(
                [others, "-c", OTHERS, *paths],
                check=True,
                capture_output=True,
                text=True,
                env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            )
            said = json.loads(done.stdout.splitlines()[-1])
        print("| file holds | facecheck | bonafide | c2pa-scanner | issynthetic |")
        print("|---|---|---|---|---|")
        for file, holds in words.items():
            found = read_provenance(folder / file, evidence).short
            cells = said.get(file, ["", "", ""])
            print(f"| {holds} | {f'`{found}`' if found else '-'} | {' | '.join(cells)} |")


def time_nothing(image: Image.Image) -> None:
    """Print the time for one file in which nothing is found, by format and size."""
    evidence = load_evidence()
    with tempfile.TemporaryDirectory() as name:
        for side in (256, 4000):
            for file_format in ("JPEG", "PNG", "WEBP"):
                path = Path(name) / f"{side}.{file_format.lower()}"
                image.resize((side, side)).save(path, file_format)
                taken = []
                for _ in range(200):
                    began = time.perf_counter()
                    assert read_provenance(path, evidence).short == ""
                    taken.append(time.perf_counter() - began)
                slow = sorted(taken)[int(0.95 * len(taken))]
                print(
                    f"{file_format:5} {side:5} px: median {statistics.median(taken) * 1e3:.3f} ms, "
                    f"95 % under {slow * 1e3:.3f} ms"
                )


def scan_cost(faces: Path, rounds: int) -> None:
    """Print the processor time of scans with provenance on and off, in turn."""
    spent: dict[str, list[float]] = {"off": [], "on": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for setting in list(spent) if number % 2 else [*spent][::-1]:
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                out = Path(folder) / f"{setting}-{number}.csv"
                command = ["-m", "facecheck", "scan", faces, "--out", out, "--provenance", setting]
                subprocess.run(
                    [sys.executable, *command, "--quiet"], check=True, env={**os.environ}
                )
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                if number:  # the first round fills the caches
                    spent[setting].append(used)
    middle = {setting: statistics.median(each) for setting, each in spent.items()}
    for setting, each in spent.items():
        runs = ", ".join(f"{one:.2f}" for one in each)
        print(f"provenance {setting}: {middle[setting]:.2f} s of processor time ({runs})")
    print(f"on costs {100 * (middle['on'] / middle['off'] - 1):+.2f} %")


def main() -> None:
    """Run the comparison and the timings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path, help="a folder of face crops")
    parser.add_argument("--others", type=Path, help="the Python of the other packages")
    parser.add_argument("--rounds", type=int, default=5, help="scans with each setting")
    given = parser.parse_args()
    first = next(path for path in sorted(given.faces.rglob("*.*")) if path.is_file())
    with Image.open(first) as opened:
        image = opened.convert("RGB")
    compare(image, given.others)
    time_nothing(image)
    if given.rounds:
        scan_cost(given.faces, given.rounds)


if __name__ == "__main__":
    main()
