from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from facecheck.core.errors import FacecheckError, ManifestError, UsageError
from facecheck.core.labels import KINDS
from facecheck.core.manifest import Manifest, read_manifest, write_manifest
from facecheck.core.record import Record
from facecheck.data.index import index
from facecheck.data.interchange import LAYOUTS, _quoted, _source, convert
from facecheck.data.options import ConvertOptions, Layout, Link, SplitOptions
from facecheck.data.split import split

#: What a tree must bring back; an imagefolder has nowhere to keep the rest.
KEPT = ["source", "kind", "sha256", "pixel_hash", "phash", "width", "height", "format", "bytes"]


@pytest.fixture
def manifest(drawn: Path, tmp_path: Path) -> Path:
    """A manifest with splits; names in two scripts, two alike but for case, two but for endings."""
    folder = tmp_path / "raw"
    shutil.copytree(drawn, folder)
    faces = folder / "photo" / "drawn-photo"
    (faces / "000.png").rename(faces / "Ünï 猫.png")
    (faces / "001.png").rename(faces / "Twin.png")
    (faces / "002.png").rename(faces / "twin.png")
    Image.open(faces / "003.png").save(faces / "twin.jpg")
    index([folder], tmp_path / "m.csv")
    split(tmp_path / "m.csv", SplitOptions(ratio="6:3:3"))
    return tmp_path / "m.csv"


def sorted_rows(path: Path, columns: list[str]) -> list[tuple[object, ...]]:
    return sorted(read_manifest(path).frame.select(columns).rows())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("link", ["hardlink", "symlink", "copy"])
def test_a_tree_and_back_is_the_same_manifest(manifest: Path, layout: Layout, link: Link) -> None:
    tree, back = manifest.parent / "tree", manifest.parent / "back.parquet"
    before = manifest.read_bytes()
    made = convert(manifest, tree, ConvertOptions(layout=layout, link=link))
    assert made.records == len(read_manifest(manifest))
    assert sum(made.by_split.values()) == made.records
    read = convert(tree, back)
    assert (read.layout, read.errors) == (layout, ())
    columns = [*KEPT, "split"] + ([] if layout == "imagefolder" else ["group"])
    assert sorted_rows(back, columns) == sorted_rows(manifest, columns)
    assert manifest.read_bytes() == before
    if link == "symlink":
        assert all(path.is_symlink() for path in tree.rglob("*.png"))
    if link == "hardlink":
        assert all(path.stat().st_nlink == 2 for path in tree.rglob("*.png"))


def test_names_that_clash_in_any_case_stay_apart(manifest: Path) -> None:
    tree = manifest.parent / "tree"
    split(manifest, SplitOptions(ratio="1:0:0"))
    convert(manifest, tree)
    names = [path.name.casefold() for path in (tree / "train" / "photo").iterdir()]
    assert len(set(names)) == len(names) == 13
    assert sum("twin~" in name for name in names) == 3


def test_without_splits_there_is_no_split_folder(manifest: Path) -> None:
    rows = read_manifest(manifest)
    split_less = rows.with_columns(split=["" for _ in range(len(rows))])
    write_manifest(split_less, manifest, {})
    convert(manifest, manifest.parent / "tree")
    assert sorted(p.name for p in (manifest.parent / "tree").iterdir()) == [
        "cartoon", "photo", "sketch",
    ]  # fmt: skip
    convert(manifest.parent / "tree", manifest.parent / "back.csv")
    assert set(read_manifest(manifest.parent / "back.csv").frame["split"]) == {""}


def test_the_hugging_face_layout_is_what_datasets_reads(manifest: Path) -> None:
    convert(manifest, manifest.parent / "tree", ConvertOptions(layout="huggingface"))
    folder = manifest.parent / "tree" / "validation"
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").open(encoding="utf-8")]
    assert all((folder / line["file_name"]).is_file() for line in lines)
    assert {line["label"] for line in lines} <= set(KINDS)
    assert {type(line["width"]) for line in lines} == {int}


def test_datasets_loads_both_layouts(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="needs datasets, which is not installed")
    kinds = Counter(read_manifest(manifest).frame["kind"])
    layouts: tuple[Layout, ...] = ("huggingface", "imagefolder")
    for layout in layouts:
        tree = tmp_path / f"{layout} tree"
        convert(manifest, tree, ConvertOptions(layout=layout))
        cache = str(tmp_path / "cache")
        loaded = datasets.load_dataset("imagefolder", data_dir=str(tree), cache_dir=cache)
        assert set(loaded) == {"train", "validation", "test"}
        rows = [row for part in loaded.values() for row in part]
        labels = loaded["train"].features["label"]
        names = [
            row["label"] if layout == "huggingface" else labels.int2str(row["label"])
            for row in rows
        ]
        assert Counter(names) == kinds
        assert {row["image"].size for row in rows} == {(96, 96)}
        if layout == "huggingface":
            assert {len(row["sha256"]) for row in rows} == {64}


def test_fiftyone_loads_its_layout(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By FiftyOne's own importer, which needs no database."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    importers = pytest.importorskip(
        "fiftyone.utils.data.importers", reason="needs fiftyone, which is not installed"
    )
    convert(manifest, tmp_path / "tree", ConvertOptions(layout="fiftyone"))
    found: Counter[str] = Counter()
    for folder in sorted((tmp_path / "tree").iterdir()):
        with importers.FiftyOneImageClassificationDatasetImporter(str(folder)) as samples:
            for path, _, label in samples:
                assert Path(path).is_file()
                found[label.label] += 1
    assert found == Counter(read_manifest(manifest).frame["kind"])


def test_a_foreign_metadata_table_is_read(drawn: Path, tmp_path: Path) -> None:
    for split_name in ("train", "test"):
        shutil.copytree(drawn / "photo" / "drawn-photo", tmp_path / "hf" / split_name)
    rows = ["file_name,label,caption", 'train/000.png,real,"a, ""b"" é"', "test/001.png,fake,"]
    (tmp_path / "hf" / "metadata.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(UsageError, match="unknown kind 'real'"):
        convert(tmp_path / "hf", tmp_path / "m.csv")
    convert(
        tmp_path / "hf",
        tmp_path / "m.csv",
        ConvertOptions(label=(("real", "photo"), ("fake", "generated"))),
    )
    frame = read_manifest(tmp_path / "m.csv").frame
    assert frame.select("source", "kind", "split", "caption").rows() == [
        ("hf", "photo", "train", 'a, "b" é'),
        ("hf", "generated", "test", ""),
    ]
    assert all(frame["phash"].str.len_chars() == 16)


def test_fiftyone_targets_may_be_names_numbers_or_dicts(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn / "photo" / "drawn-photo", tmp_path / "fo" / "data")
    labels = {"000": 1, "001": "photo", "002": {"label": 0, "attributes": {"note": 7}}, "gone": 0}
    stored = {"classes": ["photo", "sketch"], "labels": labels}
    (tmp_path / "fo" / "labels.json").write_text(json.dumps(stored))
    result = convert(tmp_path / "fo", tmp_path / "m.csv", ConvertOptions(source="mine"))
    assert [reason for _, reason in result.errors] == ["the file is not there"]
    frame = read_manifest(tmp_path / "m.csv").frame
    assert frame.select("source", "kind", "note").rows() == [
        ("mine", "sketch", ""), ("mine", "photo", ""), ("mine", "photo", "7"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.jsonl", '{"label": "photo"}\n'),
        ("metadata.jsonl", "[1]\n"),
        ("labels.json", "{}"),
    ],
)
def test_damaged_descriptions_are_one_line(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / name).write_text(text)
    with pytest.raises(ManifestError, match="tree"):
        convert(tmp_path / "tree", tmp_path / "m.csv")


def test_bad_and_vanished_files(manifest: Path) -> None:
    tree = manifest.parent / "tree"
    convert(manifest, tree, ConvertOptions(link="copy"))
    first, second, *_ = sorted((tree / "train" / "photo").iterdir())
    first.write_text("text")
    second.unlink()
    result = convert(tree, manifest.parent / "back.csv")
    assert [(Path(path).name, reason) for path, reason in result.errors] == [
        (first.name, "cannot be decoded")
    ]
    assert result.records == len(read_manifest(manifest)) - 2
    Path(read_manifest(manifest).frame["path"][0]).unlink()
    with pytest.raises(ManifestError, match="1 of 37 files are not there"):
        convert(manifest, manifest.parent / "again")
    assert not (manifest.parent / "again").exists()


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = manifest.parent / "tree"
    tree.mkdir()
    with pytest.raises(UsageError, match="not there yet"):
        convert(manifest, tree)
    with pytest.raises(UsageError, match="--overwrite"):
        convert(manifest, manifest)

    def refuse(_: object, __: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("facecheck.data.interchange.LINKS", {"hardlink": refuse, "copy": refuse})
    with pytest.raises(FacecheckError, match="try another --link"):
        convert(manifest, manifest.parent / "other")
    assert not [path for path in manifest.parent.iterdir() if path.name.startswith(".facecheck")]


def test_excluded_records_stay_out_of_a_tree(manifest: Path) -> None:
    table = read_manifest(manifest)
    excluded = ["duplicate", *[""] * (len(table) - 1)]
    write_manifest(table.with_columns(excluded=excluded), manifest, {})
    assert convert(manifest, manifest.parent / "tree").left_out == 1


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(
        st.builds(
            Record,
            path=texts.filter(lambda text: text.strip("./ ")).map(
                lambda text: os.path.normpath("/d/" + text.replace("\\", "_"))
            ),
            source=texts,
            kind=st.sampled_from(KINDS),
            width=st.integers(0, 10**6),
            group=texts,
            excluded=texts,
            split=st.sampled_from(["", "train", "val", "test"]),
        ),
        min_size=1,
        unique_by=lambda record: record.path,
    ),
    note=texts,
)
def test_csv_and_parquet_bring_every_record_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Record], note: str
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    table = Manifest.from_records(rows).with_columns(note=[note] * len(rows))
    write_manifest(table, folder / "a.csv", {"command": "test"})
    convert(folder / "a.csv", folder / "b.parquet")
    convert(folder / "b.parquet", folder / "c.csv")
    assert read_manifest(folder / "b.parquet").frame.equals(table.frame)
    assert read_manifest(folder / "c.csv").frame.equals(table.frame)
    assert (folder / "a.csv").read_bytes() == (folder / "c.csv").read_bytes()


@given(source=texts, name=texts.filter(lambda text: "/" not in text))
def test_a_source_is_read_back_from_a_file_name(source: str, name: str) -> None:
    file = f"{_quoted(source)}--{name}"
    assert "/" not in file
    assert not file.startswith(".")
    assert _source(Path("/tree") / file, Path("/tree")) == source


def test_the_command(command, manifest: Path) -> None:  # type: ignore[no-untyped-def]
    done = command("convert", "m.csv", "tree", "--layout", "fiftyone")
    assert done.code == 0
    assert "37 images in tree (fiftyone)" in done.out
    told = json.loads(command("convert", "tree", "back.csv", "--json").out)
    assert list(told) == [
        "origin", "target", "layout", "records", "by_split", "left_out", "errors",
    ]  # fmt: skip
    assert command("convert", "m.csv", "t", "--layout", "odd").code == 2
    assert "NAME=KIND" in command("convert", "tree", "b.csv", "--label", "fake").err
    next((manifest.parent / "tree" / "train" / "data").iterdir()).unlink()
    assert command("convert", "tree", "b.csv", "--quiet").code == 3
    assert pl.read_csv(manifest.parent / "b.csv").height == 36


@pytest.mark.parametrize("letter", ["n", "é"])
def test_names_as_long_as_they_may_be_are_shortened(
    drawn: Path, tmp_path: Path, letter: str
) -> None:
    folder = tmp_path / "in" / "photo" / "some-source"
    folder.mkdir(parents=True)
    faces = sorted((drawn / "photo" / "drawn-photo").iterdir())
    fill = letter * (250 // len(letter.encode()))
    for face, end in zip(faces, "abc", strict=False):
        shutil.copy(face, folder / f"{fill}{end}.png")
    index([tmp_path / "in"], tmp_path / "m.csv")
    assert convert(tmp_path / "m.csv", tmp_path / "tree").records == 3
    back = convert(tmp_path / "tree", tmp_path / "back.csv")
    assert (back.records, back.errors) == (3, ())
    assert set(read_manifest(tmp_path / "back.csv").frame["source"]) == {"some-source"}
