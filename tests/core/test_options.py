from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest

from facecheck.core.errors import UsageError
from facecheck.core.options import Options, concerns, option


@dataclass(frozen=True)
class Files(Options):
    panel: ClassVar[str] = "Files"
    include: tuple[str, ...] = option((), "Take only these.")
    hidden: bool = option(False, "Hidden ones, too.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden and self.include:
            raise UsageError("--hidden and --include: name one of them")


@dataclass(frozen=True)
class Faces(Options):
    faces: Literal["auto", "off"] = option("auto", "Whether to find faces.")
    share: float | None = option(None, "A share.", least=0, most=1)
    count: int = option(2, "A number.", least=1)


@dataclass(frozen=True)
class Both(Files, Faces):
    own: str = option("", "One of its own.")


def test_a_list_and_a_single_text_become_a_tuple() -> None:
    assert Files(include=["*.jpg", "*.png"]).include == ("*.jpg", "*.png")  # type: ignore[arg-type]
    assert Files(include="*.jpg").include == ("*.jpg",)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"faces": "aut"}, "--faces 'aut' is unknown; did you mean 'auto'? (one of auto, off)"),
        ({"faces": "everywhere"}, "--faces 'everywhere' is unknown: one of auto, off"),
        ({"share": 1.5}, "--share 1.5: must be from 0 to 1"),
        ({"share": float("nan")}, "--share nan: must be from 0 to 1"),
        ({"count": 0}, "--count 0: must be 1 or more"),
        ({"hidden": True, "include": ("*",)}, "--hidden and --include: name one of them"),
    ],
)
def test_every_concern_refuses_its_own(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        Both(**wrong)  # type: ignore[arg-type]
    assert str(refused.value) == message


def test_concerns_are_in_the_order_they_are_named_each_field_once() -> None:
    found = [(kind.__name__, [each.name for each in declared]) for kind, declared in concerns(Both)]
    assert found == [
        ("Both", ["own"]),
        ("Files", ["include", "hidden"]),
        ("Faces", ["faces", "share", "count"]),
        ("Options", []),
    ]
