"""Images one by one or many at a time, from Python: files, bytes, Pillow images and arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from facecheck.core.errors import ImageError, UnknownNameError, UsageError
from facecheck.core.files import name_text
from facecheck.core.image import array_file, image_file
from facecheck.core.labels import Status
from facecheck.core.parallel import chunked, cpu_count, map_ordered
from facecheck.core.workspace import find_checkpoint
from facecheck.scanner.answers import Answer
from facecheck.scanner.classifier import Classifier, load_classifier
from facecheck.scanner.inputs.items import INSIDE, Item
from facecheck.scanner.inputs.named import load_named
from facecheck.scanner.inputs.remote import is_address
from facecheck.scanner.options import CheckOptions
from facecheck.scanner.prepare import Prepared
from facecheck.scanner.results.frame import Table, to_frame

#: What is an image to :meth:`Checker.check`.
Source = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | npt.NDArray[Any]

_WANTED = "pass a path, the bytes of a file, a Pillow image, or an array (height, width, 3), uint8"


class Checker:
    """A loaded checkpoint and face detector that answer for images as ``scan`` does.

    An image is one of these:

    - ``str`` or a path: a file, ``archive.zip::inside/name.jpg``, or an address such as
      ``s3://bucket/name.jpg``, as a scan's results name them;
    - ``bytes`` (or ``bytearray``, ``memoryview``): the content of an image file;
    - a Pillow image of any mode, of which the current frame is classified, turned upright by its
      EXIF orientation, in sRGB, over white;
    - a numpy array of shape (height, width, 3), uint8, RGB, 0 to 255. OpenCV has BGR: pass
      ``image[..., ::-1]``.

    Files and bytes are read as a scan reads them, their provenance included; images and arrays are
    pixels alone. A large JPEG that Pillow has decoded may differ from its file by some thousandths
    in score, since a file is decoded at a reduced scale where that is enough.

    A checker may be used by one thread at a time.

    Args:
        checkpoint: a checkpoint, an export of one or a run folder; ``builtin`` or
            ``builtin-fast``; None takes the newest finished run of the workspace, or the built-in
            model.
        options: whether to find faces, thresholds, which table of known files to consult, and what
            to compute on.

    Raises:
        UsageError: there is no checkpoint, or no such device or table.
        CheckpointError: the checkpoint or the face detector cannot be used.
    """

    def __init__(
        self, checkpoint: Path | str | None = None, options: CheckOptions = CheckOptions()
    ) -> None:
        self._classifier = load_classifier(
            find_checkpoint(checkpoint),
            options,
            options,
            options,
            options,
            device=options.device,
        )

    def check(self, image: Source) -> Answer:
        """Return the answer for one image.

        What is wrong with a file is the status and message of its answer, as in a row of a scan.

        Raises:
            UsageError: ``image`` is nothing of which the class takes images.
        """
        return self._classifier.classify(_item(image))[1]

    __call__ = check

    def check_many(self, images: Iterable[Source], batch_size: int = 32) -> Answers:
        """Return an answer for each of several images, in their order, as they are needed.

        They are decoded by threads while the model runs. A generator is read a batch ahead, no
        further, so it may be longer than memory. What is wrong with an image, even that it is none,
        is the status and message of its own answer, and ends nothing.

        Args:
            images: each as :meth:`check` takes it.
            batch_size: images whose faces the model is given together, 1 or more.

        Returns:
            an iterator; its :meth:`~Answers.frame` is a table of all answers.

        Raises:
            UsageError: ``images`` is one image, or nothing to iterate over; ``batch_size`` is below
                1.
        """
        if isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image):
            named = f"{os.fspath(images)!r}: " if isinstance(images, str | os.PathLike) else ""
            raise UsageError(
                f"{named}check_many takes several images, such as a list or Path(…).glob('*.jpg'): "
                "for one use check; for a folder facecheck.scan"
            )
        if not isinstance(images, Iterable):
            raise UsageError(f"check_many takes images to iterate over, not {_type(images)}")
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise UsageError(f"batch_size is {batch_size!r}: a whole number, 1 or more")
        return Answers(_answers(replace(self._classifier, batch_size=batch_size), images))

    def __getattr__(self, name: str) -> Any:
        raise UnknownNameError(
            f"a Checker has no {name!r}: check(image) is for one, check_many(images) for several"
        )


class Answers(Iterator[Answer]):
    """The answers of :meth:`Checker.check_many`, in the order of the images; they come once."""

    def __init__(self, answers: Iterator[Answer]) -> None:
        self._answers = answers
        self._taken = 0

    def __next__(self) -> Answer:
        answer = next(self._answers)
        self._taken += 1
        return answer

    def frame(self, table: Table = "polars") -> Any:
        """Return all answers as a frame with the columns of a scan's results, one row an image.

        Args:
            table: ``polars`` or ``pandas``; see :func:`~facecheck.scanner.results.frame.to_frame`.

        Raises:
            UsageError: some were taken already, or there is no such kind of frame.
            FacecheckError: pandas is not installed.
        """
        if self._taken:
            raise UsageError(
                f"{self._taken:,} answers were taken already, and a frame would lack them: call "
                "frame() first, or facecheck.to_frame(answers) on a list that you keep"
            )
        return to_frame(self, table)


def _answers(classifier: Classifier, images: Iterable[Source]) -> Iterator[Answer]:
    """Yield the answers, in batches; items are made as images come, whose maker may reuse them."""
    prepare = partial(_prepared, classifier)
    cores = cpu_count()
    prepared = map_ordered(prepare, map(_item_or_reason, images), workers=cores, ahead=cores)
    for batch in chunked(prepared, classifier.batch_size):
        yield from classifier.answers(batch)


def _prepared(classifier: Classifier, item: Item | str) -> Prepared:
    """Return an item ready for the model, without the content that it was made of."""
    if isinstance(item, str):
        return Prepared(Item("", 0, 0, None), Status.ERROR, item)
    return replace(classifier.prepare(item), item=Item(item.name, 0, 0, None))


def _item_or_reason(image: Source) -> Item | str:
    try:
        return _item(image)
    except UsageError as error:
        return str(error)


def _item(image: Source) -> Item:
    """Return an image as what a scan classifies.

    Raises:
        UsageError: it is none.
    """
    if isinstance(image, str | os.PathLike):
        return _named(image)
    if isinstance(image, bytes | bytearray | memoryview):
        return _in_memory(bytes(image))
    if isinstance(image, np.ndarray):
        return _in_memory(array_file(image))
    if isinstance(image, Image.Image):
        name = getattr(image, "filename", "")
        return _pixels(image, name_text(name) if isinstance(name, str) and name else "")
    if hasattr(image, "read"):
        raise UsageError(f"{_type(image)}, not an image: pass its bytes, file.read()")
    if isinstance(image, list | tuple | set | dict | Iterator):
        raise UsageError(f"{_type(image)} of images: use check_many")
    if hasattr(image, "numpy"):
        raise UsageError(f"{_type(image)}, not an image: pass an array, tensor.numpy(); {_WANTED}")
    raise UsageError(f"{_type(image)}, not an image: {_WANTED}")


def _named(given: str | os.PathLike[str]) -> Item:
    text = os.fspath(given)
    name = name_text(text)
    if (is_address(text) or INSIDE in text) and not os.path.lexists(text):
        return Item(name, 0, 0, None, _read=lambda: load_named(text))
    return Item(name, 0, 0, text)


def _in_memory(content: bytes, name: str = "") -> Item:
    return Item(name, len(content), 0, None, _read=lambda: content)


def _pixels(image: Image.Image, name: str) -> Item:
    try:
        return _in_memory(image_file(image), name)
    except ImageError as error:
        return Item(name, 0, 0, None, _read=partial(_fail, str(error)))


def _fail(reason: str) -> bytes:
    raise ImageError(reason)


def _type(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
