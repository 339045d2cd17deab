from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facecheck.core.errors import ConfigError, SourceError, UsageError
from facecheck.core.labels import KINDS
from facecheck.data.sources import rules
from facecheck.data.sources.catalog import PLATFORMS, choose, read_catalog
from facecheck.data.sources.platforms import platform_of
from facecheck.data.sources.rules import Rule, place

GOOD = """
faces:
  platform: http
  handle: https://example.org/faces.zip
  rules:
    - {files: 'real/*', kind: photo, name: '(?P<person>\\w+)-\\d+\\.jpg', group: '{person}'}
"""


def own(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    return file


def test_the_built_in_catalogue_is_whole() -> None:
    catalog = read_catalog()
    assert {
        *("selfie2anime", "cufs", "cufsf", "ciplab-fakes", "paper-collection", "140k-faces"),
        *("anime-faces", "metfaces", "lfw", "sfhq-t2i", "diff", "openfake", "df40", "utkface"),
        *("ffhq-thumbnails", "fairface", "fs2k", "icartoonface", "artistic-faces"),
    } == set(catalog)
    for source in catalog.values():
        assert source.licence, source.name
        assert source.terms.startswith("http"), source.name
        assert platform_of(source).where(source).startswith("http"), source.name
        assert set(source.kinds) <= set(KINDS)
        assert source.evidence, source.name
        # Nobody could fetch them where this was written. Change it with the entry you verified.
        assert not source.verified, source.name
    assert "composites" in catalog["ciplab-fakes"].note
    assert catalog["paper-collection"].handles == ("1-5djvNp4hff3rlQWaiq8CC9278dTUQPQ",)
    assert len(choose(catalog, [])) == 4


#: Paths as others report them from the archives, with kind, group and further columns.
REPORTED = [
    *(
        ("cufs", path, kind, group, {})
        for path, kind, group in [
            ("photo/m1-010-01.jpg", "photo", "m1-010-01"),
            ("photos/f-005-01.jpg", "photo", "f-005-01"),
            ("cropped_sketch/M1-010-01-sz1.jpg", "sketch", "m1-010-01"),
            ("sketches/F2-005-01-sz1.jpg", "sketch", "f-005-01"),
            ("photo_points/f-005-01.jpg", None, ""),
            ("sketch_points/sketch_points/f-005-01.jpg", None, ""),
        ]
    ),
    *(
        (
            *("140k-faces", f"real_vs_fake/real-vs-fake/{part}/{label}/00001.jpg", kind, ""),
            {"original_split": split},
        )
        for part, split in [("train", "train"), ("valid", "val"), ("test", "test")]
        for label, kind in [("real", "photo"), ("fake", "generated")]
    ),
    ("sfhq-t2i", "SFHQ_T2I_dataset/images/a.jpg", "generated", "", {}),
    ("openfake", "fake/flux.1-dev/7.png", "generated", "", {"generator": "flux.1-dev"}),
    ("df40", "simswap/ff/frames/000_003/012.png", "composite", "000_003", {}),
    ("df40", "StyleGAN2/cdf/fake/id1/0.png", "generated", "id1", {}),
    ("df40", "MidJourney/real/7/0.png", "photo", "7", {}),
    ("ffhq-thumbnails", "thumbnails128x128/00000.png", "photo", "", {}),
    ("utkface", "UTKFace/26_1_1_20170117.jpg.chip.jpg", "photo", "", {"age": "26"}),
    ("utkface", "utkface_aligned_cropped/crop_part1/9.jpg", "photo", "", {"age": ""}),
    ("fairface", "val/12.jpg", "photo", "", {"original_split": "val"}),
    ("fs2k", "FS2K/photo/photo1/image0110.jpg", "photo", "1-0110", {}),
    ("fs2k", "FS2K/sketch/sketch1/sketch0110.png", "sketch", "1-0110", {}),
    (
        *("icartoonface", "personai_icartoonface_rectrain/icartoonface_rectrain/id_0/a.jpg"),
        *("cartoon", "id_0", {}),
    ),
]


@pytest.mark.parametrize(("name", "path", "kind", "group", "columns"), REPORTED)
def test_layouts_as_others_report_them(
    name: str, path: str, kind: str | None, group: str, columns: dict[str, str]
) -> None:
    placed = place(read_catalog()[name].rules, PurePosixPath(path))
    assert placed is not None
    assert (placed.kind, placed.group, placed.columns) == (kind, group, columns)


def test_a_users_file_adds_and_replaces(tmp_path: Path) -> None:
    catalog = read_catalog(own(tmp_path, GOOD + GOOD.replace("faces:", "lfw:", 1)))
    assert catalog["faces"].handles == catalog["lfw"].handles
    assert catalog["faces"].rules[0].group == "{person}"
    assert "cufs" in catalog


def test_names_are_chosen_once_each_in_order() -> None:
    catalog = read_catalog()
    assert [source.name for source in choose(catalog, ["lfw", "cufs", "lfw"])] == ["lfw", "cufs"]
    with pytest.raises(UsageError, match="did you mean 'metfaces'"):
        choose(catalog, ["metface"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("platform: http", "plattform: http", "faces: unknown key 'plattform'.*'platform'"),
        ("platform: http", "platform: htpp", "unknown platform 'htpp'; did you mean 'http'"),
        ("  platform: http\n", "", "faces: platform is missing"),
        ("https://example.org/faces.zip", "faces.zip", "handle 'faces.zip' is not an http"),
        ("https://example.org/faces.zip", "3", "handle: must be text"),
        ("  handle: https://example.org/faces.zip\n", "", "handle is missing: an http"),
        ("kind: photo", "kind: foto", "rule 1: unknown kind 'foto'; did you mean 'photo'"),
        ("kind: photo", "kid: photo", "rule 1: unknown key 'kid'; did you mean 'kind'"),
        ("kind: photo, ", "", "rule 1: give a kind, or exclude"),
        ("files: 'real/*', ", "", "rule 1: files is missing"),
        ("'{person}'", "'{persn}'", r"\{persn\} is not a named group.*'person'"),
        ("(?P<person>", "(?P<person", "is not a pattern"),
        ("kind: photo", "kind: photo, exclude: duplicate", "dedup's own word"),
        ("kind: photo", "kind: photo, columns: {sha256: x}", "'sha256' cannot be an extra"),
        ("  platform: http", "  bytes: many\n  platform: http", "bytes: must be a whole number"),
        ("  platform: http", "  bytes: -1\n  platform: http", "must not be negative"),
        ("  platform: http", "  default: 1\n  platform: http", "default: must be true or false"),
        ("  platform: http", "  sha256: abc\n  platform: http", "not 64 hex digits"),
        ("  platform: http", "  expect: {foto: 3}\n  platform: http", "expect: unknown kind"),
        ("faces:", "Faces!:", "a name is made of"),
        ("platform: http", "platform: manual", "instructions are missing"),
        ("platform: http", "platform: github", "a commit's 40 digits"),
        ("platform: http", "platform: kaggle", "owner/dataset"),
    ],
)
def test_a_mistake_is_told_by_entry_and_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=message) as told:
        read_catalog(own(tmp_path, GOOD.replace(old, new, 1)))
    assert "own.yaml" in str(told.value)
    assert "\n" not in str(told.value)


def test_the_entries_in_the_documentation_are_right(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "sources.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    entries = [block for block in blocks if "platform:" in block and "…}" not in block]
    assert len(entries) == 4
    for block in entries:
        assert len(read_catalog(own(tmp_path, block))) == len(read_catalog()) + 1


@pytest.mark.parametrize("text", ["- a list", "faces: [1]", "a: b: c", "faces: 3"])
def test_what_is_no_catalogue_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="own.yaml"):
        read_catalog(own(tmp_path, text))
    with pytest.raises(UsageError, match="no catalogue at"):
        read_catalog(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("trainA/*", "trainA/1.jpg", True),
        ("trainA/*", "deep/down/TRAINA/1.JPG", True),
        ("trainA/*", "trainA/more/1.jpg", False),
        ("trainA/**", "trainA/more/1.jpg", True),
        ("trainA/**/x*", "trainA/x1.jpg", True),
        ("trainA/**/x*", "trainA/a/b/x1.jpg", True),
        ("trainA/*", "notrainA/1.jpg", False),
        ("*", "any/where/1.jpg", True),
        ("a?/*", "ab/1.jpg", True),
        ("a?/*", "a/1.jpg", False),
        ("a[b]/*", "a[b]/1.jpg", True),
        ("a.b/*", "axb/1.jpg", False),
        ("trainA/*", "trainA/1.txt", False),
    ],
)
def test_patterns(pattern: str, path: str, fits: bool) -> None:
    found = place([Rule(pattern, "photo")], PurePosixPath(path))
    assert (found is not None) == fits


def test_the_first_rule_that_fits_decides() -> None:
    rules = [
        Rule("*", "sketch", name=r"(?P<who>\d+)(?P<side>L|R)?\.png", group="{who}{folder}"),
        Rule("*", "photo", columns={"side": "{stem}"}),
    ]
    first = place(rules, PurePosixPath("Set/12.png"))
    assert first is not None
    assert (first.rule, first.kind, first.group) == (0, "sketch", "12set")
    second = place(rules, PurePosixPath("Set/x.png"))
    assert second is not None
    assert (second.rule, second.kind, dict(second.columns)) == (1, "photo", {"side": "x"})


@given(st.text(st.characters(exclude_characters="*?/"), min_size=1, max_size=8))
@example(".")
def test_a_pattern_without_wildcards_is_plain_text(name: str) -> None:
    path = PurePosixPath("a", f"{name}.png")
    if path.name == f"{name}.png":
        assert place([Rule(f"{name}.png", "photo")], path) is not None


def test_every_platform_has_a_module() -> None:
    from dataclasses import replace

    source = read_catalog()["lfw"]
    for platform in PLATFORMS:
        module = platform_of(replace(source, platform=platform))
        assert callable(module.where)
        assert callable(module.download)


GLOBS = st.lists(st.sampled_from(["*", "**", "**/", "?", "/", "a", "b", "."]), max_size=7)


@given(parts=GLOBS, path=st.text(alphabet="ab./", max_size=9))
@example(parts=["a", "**/", "b"], path="ab")
@example(parts=["**/", "a", "*", "/", "b"], path="b/a/aa/b")
def test_many_stars_match_as_few_do(parts: list[str], path: str) -> None:
    joined = re.split(r"(\*\*/|\*\*|\*|\?)", "".join(parts))
    expected = "".join(rules._WILD.get(part) or re.escape(part) for part in joined)
    found = rules._Steps([part for part in joined if part]).match(path)
    assert found == bool(re.fullmatch(f"(?:.*/)?{expected}", path, re.DOTALL))


def test_a_pattern_of_many_stars_takes_no_years() -> None:
    pattern = "*a" * 40 + "b"
    assert place([Rule(pattern, "photo")], PurePosixPath("a" * 200 + ".png")) is None
    assert place([Rule(pattern + "*", "photo")], PurePosixPath("a" * 200 + "b.png")) is not None


def test_an_expression_that_is_slow_for_a_name_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("facecheck.data.sources.rules.LONGEST_MATCH", 0.05)
    rule = Rule("*", "photo", name=r"(a|aa)+[b-c]\.png")
    with pytest.raises(SourceError, match=r"takes over 0\.05 s for the file a+\.png") as caught:
        place([rule], PurePosixPath("a" * 200 + ".png"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "handle",
    [
        "file:///etc",
        "zip://x::file:///etc/a.zip",
        "local:///etc",
        "s3://b/x::file:///etc",
        "dir://x",
    ],
)
def test_a_catalogue_names_no_file_of_this_machine(tmp_path: Path, handle: str) -> None:
    entry = f"mine: {{platform: cloud, handle: '{handle}', rules: [{{files: '*', kind: photo}}]}}"
    with pytest.raises(ConfigError, match="is not an address such as s3://"):
        read_catalog(own(tmp_path, entry))


@pytest.mark.parametrize(
    "name", [r"(a+)+b", r"(\w\d|a\d)*x", r"(?:a|aa)+b", r"(.*a){12}", r"((a*)b?)*c"]
)
def test_an_expression_that_may_take_years_is_refused(tmp_path: Path, name: str) -> None:
    entry = f"""
mine:
  platform: http
  handle: https://example.org/a.zip
  rules: [{{files: '*', kind: photo, name: '{name}'}}]
"""
    with pytest.raises(ConfigError, match="repeats what"):
        read_catalog(own(tmp_path, entry))
