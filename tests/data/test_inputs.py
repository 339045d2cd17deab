"""Tables of labels, ImageFolders and manifests as inputs of index."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from facecheck.core.errors import ManifestError, UsageError
from facecheck.core.manifest import read_manifest
from facecheck.data.index import IndexResult, index
from facecheck.data.options import IndexOptions, SplitOptions
from facecheck.data.split import split
from tests.conftest import Outcome

REAL_FAKE = (("real", "photo"), ("fake", "generated"))


@pytest.fixture
def flat(drawn: Path, tmp_path: Path) -> Path:
    """Six images in one folder: r0, r1, r2 (real) and f0, f1, f2 (fake)."""
    folder = tmp_path / "vendor"
    folder.mkdir()
    for letter, kind in (("r", "photo"), ("f", "cartoon")):
        for number in range(3):
            picture = drawn / kind / f"drawn-{kind}" / f"{number:03}.png"
            shutil.copy(picture, folder / f"{letter}{number}.png")
    return folder


@pytest.fixture
def tree(drawn: Path, tmp_path: Path) -> Path:
    """An ImageFolder: train/real, train/fake, test/real, test/fake with two images each."""
    folder = tmp_path / "imagefolder"
    for at, (part, name, kind) in enumerate(
        (part, name, kind)
        for part in ("train", "test")
        for name, kind in (("real", "photo"), ("fake", "cartoon"))
    ):
        place = folder / part / name
        place.mkdir(parents=True)
        for number in (2 * at, 2 * at + 1):
            shutil.copy(drawn / kind / f"drawn-{kind}" / f"{number:03}.png", place)
    return folder


def found(manifest: Path) -> dict[str, str]:
    """Return the kind of each file, by its name."""
    frame = read_manifest(manifest).frame
    return {Path(path).name: kind for path, kind in frame.select("path", "kind").iter_rows()}


def rejected(result: IndexResult) -> dict[str, str]:
    return dict(pl.read_csv(result.rejects, infer_schema=False).iter_rows())


KINDS = {f"r{n}.png": "photo" for n in range(3)} | {f"f{n}.png": "generated" for n in range(3)}
ROWS = [(name, "real" if name[0] == "r" else "fake") for name in KINDS]


def csv(rows: list[tuple[str, str]], separator: str = ",") -> str:
    return "\n".join(separator.join(row) for row in [("image", "label"), *rows]) + "\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", csv(ROWS).encode()),
        # As Excel saves it on Windows, where decimals have a comma.
        (
            "labels.csv",
            csv([(f'"sub\\..\\{name}"', f'"{label}"') for name, label in ROWS], ";")
            .replace("\n", "\r\n")
            .encode("utf-8-sig"),
        ),
        ("labels.csv", csv(ROWS, "\t").encode("utf-16")),
        ("labels.csv", b"\xef\xbb\xbfsep=;\r\n" + csv(ROWS, ";").encode()),
        ("labels.tsv", csv(ROWS, "\t").encode()),
        ("labels.csv", csv([(f"./{name}", label.upper()) for name, label in ROWS]).encode()),
        ("labels.csv", csv([(f"vendor/{name.upper()}", label) for name, label in ROWS]).encode()),
        ("labels.csv", csv([(name.removesuffix(".png"), label) for name, label in ROWS]).encode()),
        (
            "labels.jsonl",
            "".join(
                json.dumps({"file_name": name, "label": label, "box": [1, 2], "age": None}) + "\n"
                for name, label in ROWS
            ).encode(),
        ),
    ],
)
def test_a_table_says_what_the_files_of_a_folder_are(
    flat: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    (flat / name).write_bytes(content)
    options = IndexOptions(labels=(flat / name,), label=REAL_FAKE)
    result = index([flat], tmp_path / "m.csv", options)
    assert found(tmp_path / "m.csv") == KINDS
    assert result.by_source == {("photo", "vendor"): 3, ("generated", "vendor"): 3}
    assert (result.rejected, result.unnamed, result.tables[0].without_file) == (0, 0, 0)


def test_numbers_and_columns_with_other_names(flat: Path, tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "pic": list(KINDS),
            "y": [1.0 if name[0] == "r" else 0.0 for name in KINDS],
            "age": [31.5, None, 7.0, 8.0, 9.0, 10.0],
            "subset": ["training", "valid", "test", "train", "", "TEST"],
        }
    )
    table.write_parquet(tmp_path / "labels.parquet")
    options = IndexOptions(
        labels=(tmp_path / "labels.parquet",),
        path_column="pic",
        kind_column="y",
        label=(("1", "photo"), ("0", "generated")),
        source="bought",
    )
    index([flat], tmp_path / "m.csv", options)
    frame = read_manifest(tmp_path / "m.csv").frame.sort("path")
    assert set(frame["source"]) == {"bought"}
    assert frame["split"].to_list() == ["train", "", "test", "train", "val", "test"]
    assert frame["age"].to_list()[3:] == ["31.5", "", "7.0"]
    assert frame["y"].to_list() == ["0", "0", "0", "1", "1", "1"]


def test_rows_without_a_file_and_files_without_a_row_are_listed(
    flat: Path, tmp_path: Path, command: Callable[..., Outcome]
) -> None:
    rows = [*ROWS[:-1], ("gone.png", "real"), ("f0.png", "real"), ("r0.png", "")]
    (flat / "labels.csv").write_text(csv(rows))
    labels = ("--label", "real=photo", "--label", "fake=generated")
    done = command(
        *("index", flat, "--labels", flat / "labels.csv", *labels, "--out", "m.csv", "--json")
    )
    assert done.code == 0
    told = json.loads(done.out)
    assert (told["records"], told["unnamed"], told["tables"][0]["without_file"]) == (4, 1, 1)
    reasons = dict(pl.read_csv(tmp_path / "m.rejects.csv").iter_rows())
    name = flat / "labels.csv"
    assert reasons == {
        "gone.png": f"no such file, named in {name}",
        str(flat / "f2.png"): f"not named in {name}",
        str(flat / "f0.png"): f"two kinds: generated ({name}) and photo ({name})",
        str(flat / "r0.png"): f"no kind in {name}",
    }
    done = command(*("index", flat, "--labels", name, *labels, "--out", "m.csv", "--overwrite"))
    assert "1 rows name no file" in done.out
    assert "1 images that no table names" in done.out


def test_a_table_opens_nothing_outside_the_folders(flat: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    shutil.copy(flat / "r0.png", secret)
    outside = [str(secret), "../secret.png", "..\\secret.png", "/etc/passwd", "C:\\x\\r0.png"]
    (flat / "labels.csv").write_text(csv([*ROWS, *((path, "real") for path in outside)]))
    options = IndexOptions(labels=(flat / "labels.csv",), label=REAL_FAKE)
    result = index([flat], tmp_path / "m.csv", options)
    assert found(tmp_path / "m.csv") == KINDS
    reasons = rejected(result)
    why = f"outside the folders, named in {flat / 'labels.csv'}"
    assert [reasons[path] for path in outside] == [why] * 5
    assert "secret" not in (tmp_path / "m.csv").read_text()
    (flat / "labels.csv").write_text(csv([(str(flat / name), label) for name, label in ROWS]))
    assert index([flat], tmp_path / "n.csv", options).records == 6  # absolute, but inside


def test_a_bare_name_is_found_in_subfolders_unless_it_is_ambiguous(
    flat: Path, tmp_path: Path
) -> None:
    inner = tmp_path / "data" / "a" / "deep"
    shutil.copytree(flat, inner)
    table = tmp_path / "labels.csv"
    table.write_text(csv(ROWS))
    options = IndexOptions(labels=(table,), label=REAL_FAKE)
    index([tmp_path / "data"], tmp_path / "m.csv", options)
    assert found(tmp_path / "m.csv") == KINDS
    (tmp_path / "data" / "b").mkdir()
    shutil.copy(inner / "r1.png", tmp_path / "data" / "b")
    with pytest.raises(UsageError, match="1 rows name more than one file, the first is 'r1.png'"):
        index([tmp_path / "data"], tmp_path / "n.csv", options)
    shutil.copy(inner / "r1.png", tmp_path / "data")  # the path from the folder on is exact
    result = index([tmp_path / "data"], tmp_path / "n.csv", options)
    assert (result.records, result.unnamed) == (6, 2)


def test_what_a_table_lacks_is_named(flat: Path, tmp_path: Path) -> None:
    table, out = flat / "labels.csv", tmp_path / "m.csv"
    table.write_text(csv(ROWS))
    command = f"facecheck index {flat} --labels {table}"
    for options, message in (
        (
            IndexOptions(labels=(table,)),
            f"column 'label' holds fake .3., real .3.*run `{command} --label fake=generated "
            f"--label real=photo --out {out}`",
        ),
        (
            IndexOptions(labels=(table,), label=(*REAL_FAKE, ("reel", "photo"))),
            "'reel', which has no images: the sources are fake",
        ),
        (IndexOptions(labels=(table,), kind_column="lable"), "did you mean 'label'"),
        (IndexOptions(labels=(table,), kind="photo"), "leave --kind out"),
        (IndexOptions(labels=(tmp_path / "no.csv",)), "no table at"),
        (IndexOptions(labels=(flat / "r0.png",)), "must end in .csv"),
    ):
        with pytest.raises(UsageError, match=message):
            index([flat], out, options)
    for text, message in (
        ("a,b\n1,2\n", "no column is called like one of file names .it has 'a', 'b'."),
        ("image,b\nr0.png,2\n", "no column is called like one of kinds"),
        ("image,label,split\nr0.png,real,fold3\n", "column 'split' holds 'fold3'"),
    ):
        table.write_text(text)
        with pytest.raises(ManifestError, match=message):
            index([flat], out, IndexOptions(labels=(table,), label=REAL_FAKE))
    table.write_text(csv([("a/b/1.jpg", "real")]))
    with pytest.raises(UsageError, match="not one of its 1 rows names a file of"):
        index([flat], out, IndexOptions(labels=(table,), label=REAL_FAKE[:1]))
    table.write_text("path,status,verdict,kind,score\nr0.png,ok,real,photo,0.1\n")
    with pytest.raises(UsageError, match="looks like the results of a scan"):
        index([table], out, IndexOptions(source="s"))
    table.write_bytes("image,label\nr0.png,réel\n".encode("cp1252"))
    with pytest.raises(ManifestError, match="its text is not UTF-8: save it as UTF-8"):
        index([flat], out, IndexOptions(labels=(table,)))
    (flat / "lines.jsonl").write_text("[1]\n")
    with pytest.raises(ManifestError, match="not JSON lines"):
        index([flat], out, IndexOptions(labels=(flat / "lines.jsonl",)))
    assert not out.exists()


def test_an_imagefolder_is_recognised_and_the_next_command_works(
    tree: Path, tmp_path: Path, command: Callable[..., Outcome]
) -> None:
    done = command("index", tree, "--out", "m.csv")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "ImageFolder with the classes fake (4), real (4) in train, test" in done.err
    next_command = done.err.partition("`")[2].partition("`")[0]
    words = next_command.split()
    assert words[:3] == ["facecheck", "index", str(tree)]
    done = command(*words[1:])
    assert (done.code, "split: train 4, test 4 (--drop-split forgets it)" in done.out) == (0, True)
    frame = read_manifest(tmp_path / "m.csv").frame
    counts = frame.group_by("source", "kind", "split").len().sort("kind", "split").rows()
    assert counts == [
        (tree.name, kind, part, 2) for kind in ("generated", "photo") for part in ("test", "train")
    ]
    done = command("index", tree, "--out", "m.csv", "--exclude", "0 0*", "--follow", "--overwrite")
    assert "--exclude '0 0*' --follow --overwrite --out m.csv`" in done.err
    again = IndexOptions(label=REAL_FAKE, drop_split=True, overwrite=True)
    index([tree], tmp_path / "m.csv", again)
    assert set(read_manifest(tmp_path / "m.csv").frame["split"]) == {""}


def test_imagefolders_of_other_shapes(tree: Path, tmp_path: Path) -> None:
    options = IndexOptions(label=REAL_FAKE)
    expected = {(kind, tree.name): 4 for kind in ("photo", "generated")}
    assert index([tree / "train", tree / "test"], tmp_path / "a.csv", options).by_source == expected
    assert set(read_manifest(tmp_path / "a.csv").frame["split"]) == {"train", "test"}
    deep = tmp_path / "deep" / "real_vs_fake" / "real-vs-fake"
    shutil.copytree(tree, deep)
    (deep / "test").rename(deep / "valid")
    (deep / "train" / "real").rename(deep / "train" / "Real")
    index([tmp_path / "deep"], tmp_path / "b.csv", options)
    frame = read_manifest(tmp_path / "b.csv").frame
    assert frame.group_by("kind", "split").len().height == 4
    assert set(frame["split"]) == {"train", "val"}
    for name in ("real", "fake"):  # the class first
        shutil.copytree(tree / "train" / name, tmp_path / "turned" / name / "train")
    index([tmp_path / "turned"], tmp_path / "c.csv", options)
    assert set(read_manifest(tmp_path / "c.csv").frame["split"]) == {"train"}


def test_tables_for_each_split_label_an_imagefolder(tree: Path, tmp_path: Path) -> None:
    # As 140k real and fake faces come: a table for each split, with a number and a word.
    for part in ("train", "test"):
        rows = [
            f"{at},{int(file.parent.name == 'real')},{file.parent.name},{file.relative_to(tree)}"
            for at, file in enumerate(sorted((tree / part).rglob("*.png")))
        ]
        (tmp_path / f"{part}.csv").write_text("\n".join([",label,label_str,path", *rows]) + "\n")
    tables = (tmp_path / "train.csv", tmp_path / "test.csv")
    options = IndexOptions(labels=tables, kind_column="label_str", label=REAL_FAKE)
    result = index([tree], tmp_path / "m.csv", options)
    assert (result.records, result.rejected, result.unnamed) == (8, 0, 0)
    frame = read_manifest(tmp_path / "m.csv").frame
    assert sorted(frame.select("kind", "split").unique().rows()) == [
        (kind, part) for kind in ("generated", "photo") for part in ("test", "train")
    ]
    with pytest.raises(UsageError, match="--label 0=KIND --label 1=KIND"):
        index([tree], tmp_path / "n.csv", IndexOptions(labels=tables))


def test_folders_that_say_nothing_get_a_hint(tree: Path, flat: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.csv"
    with pytest.raises(UsageError, match="lie in no folder that says what they are"):
        index([flat], out)
    (flat / "list.csv").write_text("a,b\n")
    with pytest.raises(UsageError, match=f"pass --labels {flat / 'list.csv'}"):
        index([flat], out)
    (tmp_path / "deep").mkdir()
    shutil.copytree(flat, tmp_path / "deep" / "images")
    shutil.move(tmp_path / "deep" / "images" / "list.csv", tmp_path / "deep")
    with pytest.raises(UsageError, match=r"pass --labels \S+/deep/list.csv; .*images=KIND"):
        index([tmp_path / "deep"], out)
    (tree / "test" / "metadata.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match=f"run `facecheck convert {tree} {out}`"):
        index([tree], out)
    (tmp_path / "a.zip").touch()
    with pytest.raises(UsageError, match="facecheck fetch --from"):
        index([tmp_path / "a.zip"], out)
    (tmp_path / "a.pdf").touch()
    with pytest.raises(UsageError, match="neither a folder nor a table"):
        index([tmp_path / "a.pdf"], out)


def test_folders_and_manifests_are_joined(
    drawn: Path, flat: Path, tree: Path, tmp_path: Path
) -> None:
    index([drawn / "sketch"], tmp_path / "ours.csv")
    split(tmp_path / "ours.csv", SplitOptions(ratio="1:1:1"))
    (flat / "theirs.csv").write_text(
        "path;kind;source;person\n" + "".join(f"{name};{kind};bought;p1\n" for name, kind in ROWS)
    )
    options = IndexOptions(label=REAL_FAKE)
    inputs = [tree, drawn / "cartoon", tmp_path / "ours.csv", flat / "theirs.csv"]
    result = index(inputs, tmp_path / "all.csv", options)
    assert result.by_source == {
        ("photo", "bought"): 3, ("photo", tree.name): 4, ("cartoon", "drawn-cartoon"): 12,
        ("sketch", "drawn-sketch"): 12, ("generated", "bought"): 3, ("generated", tree.name): 4,
    }  # fmt: skip
    frame = read_manifest(tmp_path / "all.csv").frame
    assert (frame["phash"].str.len_chars() == 16).all()
    ours = read_manifest(tmp_path / "ours.csv").frame
    kept = frame.join(ours, on=["path", "sha256", "split"], how="semi")
    assert kept.height == 12
    assert set(kept["split"]) == {"train", "val", "test"}
    assert frame.filter(pl.col("source") == "bought")["person"].to_list() == ["p1"] * 6
    # What was measured for one manifest is not measured again for another.
    lines = (tmp_path / "ours.hashes.jsonl").read_text().splitlines()
    assert set(lines) <= set((tmp_path / "all.hashes.jsonl").read_text().splitlines())


def test_corrections_change_the_kinds_of_a_manifest(flat: Path, tmp_path: Path) -> None:
    rows = [f"vendor/{name},{kind},bought" for name, kind in KINDS.items()]
    manifest = tmp_path / "m.csv"
    manifest.write_text("\n".join(["path,kind,source", *rows]) + "\n")
    table = tmp_path / "corrections.csv"
    table.write_text(
        "path,face,verdict,kind,note\nvendor/r0.png,,artificial,composite,a seam\n"
        "vendor/r1.png,,uncertain,,\nvendor/gone.png,,real,photo,\n"
    )
    result = index([manifest], tmp_path / "n.csv", IndexOptions(labels=(table,)))
    assert found(tmp_path / "n.csv") == {**KINDS, "r0.png": "composite"}
    assert (result.relabelled, result.unnamed, result.rejected) == (1, 0, 1)
    frame = read_manifest(tmp_path / "n.csv").frame
    assert set(frame["source"]) == {"bought"}
    assert frame.filter(pl.col("kind") == "composite")["note"].to_list() == ["a seam"]
    table.write_text("path,kind\nvendor/r0.png,photo\nvendor/r0.png,painting\n")
    result = index([manifest], tmp_path / "o.csv", IndexOptions(labels=(table,)))
    assert rejected(result) == {
        str(flat / "r0.png"): f"two kinds: photo and painting in {table}",
    }


def test_inputs_that_contradict_each_other(flat: Path, tmp_path: Path) -> None:
    def table(name: str, rows: list[str]) -> Path:
        (flat / name).write_text("\n".join(["path,kind,source,split,sha256,note", *rows]) + "\n")
        return flat / name

    one = table("one.csv", ["r0.png,photo,a,train,,x", "r1.png,photo,a,,,", "r2.png,photo,a,,,"])
    two = table(
        "two.csv",
        ["r0.png,generated,a,,,", "r1.png,photo,b,test,,y", f"f0.png,photo,a,train,{'0' * 64},"],
    )
    result = index([one, two], tmp_path / "m.csv")
    assert rejected(result) == {
        str(flat / "r0.png"): f"two kinds: photo ({one}) and generated ({two})"
    }
    assert (result.differing, result.changed) == ({"source": 1}, 1)
    frame = read_manifest(tmp_path / "m.csv").frame.fill_null("")
    assert frame.select("source", "split", "note").rows() == [
        ("a", "", ""), ("a", "test", "y"), ("a", "", ""),
    ]  # fmt: skip
    with pytest.raises(ManifestError, match="no column 'source'"):
        (flat / "three.csv").write_text("path,kind\nr0.png,photo\n")
        index([flat / "three.csv"], tmp_path / "n.csv")
