"""The catalogue's rules end to end: the real kagglesdk and gdown packages against a server here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict

import polars as pl
import pytest

from facecheck.core.errors import SourceError, UsageError
from facecheck.core.manifest import read_manifest
from facecheck.data.sources.fetch import Fetched, FetchResult
from facecheck.data.sources.platforms import Retry, kaggle
from tests.conftest import SHARED, Outcome
from tests.data.sources.fetching import fetch
from tests.data.sources.stub_server import Fault, Served, StubServer, drive_file, turned_to, zipped

QUICK = Retry(attempts=3, first_wait=0.001)
PAPER = "1-5djvNp4hff3rlQWaiq8CC9278dTUQPQ"


class Places(TypedDict):
    root: Path
    manifest: Path
    lock: Path
    retry: Retry


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubServer]:
    """A server that plays Kaggle, Drive and GitHub for a user with no credentials yet."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    stub = StubServer()
    with turned_to(stub.url):
        yield stub
    stub.close()


@pytest.fixture
def token(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "good-token")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return {
        "root": tmp_path / "raw",
        "manifest": tmp_path / "manifest.csv",
        "lock": tmp_path / "facecheck.lock",
        "retry": QUICK,
    }


Pictures = Callable[[str, int], list[bytes]]


@pytest.fixture(scope="session")
def pictures(drawn: Path) -> Pictures:
    """Return some images of a kind: real ones where ../shared/data is there, else drawn ones."""
    real = {
        "photo": "photo/cufs-photos",
        "sketch": "sketch/cufs-sketches",
        "cartoon": "cartoon/anime-96",
        "generated": "generated/stylegan-256",
    }

    def some(kind: str, count: int) -> list[bytes]:
        folder = SHARED / "data" / real[kind]
        if not folder.is_dir():
            folder = drawn / {"generated": "sketch"}.get(kind, kind)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return [path.read_bytes() for path in files[:count]]

    return some


def only(result: FetchResult) -> Fetched:
    assert not result.failed
    (fetched,) = result.sources
    return fetched


def table(places: Places) -> pl.DataFrame:
    return read_manifest(places["manifest"]).frame


def selfie2anime(pictures: Pictures) -> bytes:
    selfies, anime = pictures("photo", 4), pictures("cartoon", 4)
    return zipped({
        "trainA/female_1.jpg": selfies[0], "trainA/female_2.jpg": selfies[1],
        "testA/female_3.jpg": selfies[2], "trainB/0001.jpg": anime[0],
        "trainB/0002.jpg": anime[1], "testB/0003.jpg": anime[2],
    })  # fmt: skip


@pytest.mark.usefixtures("token")
def test_selfie2anime(server: StubServer, places: Places, pictures: Pictures) -> None:
    server.play_kaggle({"arnaud58/selfie2anime": Served(selfie2anime(pictures))})
    fetched = only(fetch(["selfie2anime"], **places))
    assert fetched.kinds == {"photo": 3, "cartoon": 3}
    assert (fetched.left_out, fetched.notes) == (0, ())
    assert fetched.marker.licence.startswith("not stated")
    frame = table(places)
    kinds = {Path(path).parent.name: kind for path, kind in frame.select("path", "kind").rows()}
    assert kinds == {
        "trainA": "photo", "testA": "photo", "trainB": "cartoon", "testB": "cartoon",
    }  # fmt: skip
    assert frame["source"].unique().to_list() == ["selfie2anime"]
    assert not (places["root"] / ".facecheck" / "downloads").exists() or not list(
        (places["root"] / ".facecheck" / "downloads").iterdir()
    )


@pytest.mark.usefixtures("token")
def test_cufs_pairs_share_a_group(server: StubServer, places: Places, pictures: Pictures) -> None:
    photos, sketches = pictures("photo", 3), pictures("sketch", 3)
    archive = zipped({
        "photos/f-005-01.jpg": photos[0], "sketches/F2-005-01-sz1.jpg": sketches[0],
        "photo/m1-010-01.jpg": photos[1], "sketch/m1-010-01-sz1.jpg": sketches[1],
        "photos/ar_002.png": photos[2], "cropped_sketch/ar_002.png": sketches[2],
        "photo_points/f-005-01.3pts": b"1 2\n",
    })  # fmt: skip
    server.play_kaggle({"arbazkhan971/cuhk-face-sketch-database-cufs": Served(archive)})
    fetched = only(fetch(["cufs"], deduplicate=False, **places))
    assert fetched.kinds == {"photo": 3, "sketch": 3}
    assert fetched.left_out == 1
    groups = table(places).group_by("group").agg(pl.col("kind").sort())
    assert dict(groups.sort("group").rows()) == {
        "cufs/ar_002": ["photo", "sketch"],
        "cufs/f-005-01": ["photo", "sketch"],
        "cufs/m1-010-01": ["photo", "sketch"],
    }


def test_a_label_moves_a_local_source_to_its_kind(places: Places, drawn: Path) -> None:
    label = (("sketch/drawn-sketch", "composite"),)
    for _ in range(2):  # the second finds the first's
        result = fetch(origin=drawn, label=label, **places)
        assert only(result).marker.folders == (
            *("cartoon/drawn-cartoon", "composite/drawn-sketch", "photo/drawn-photo"),
        )
        assert result.indexed is not None
        assert result.indexed.by_source["composite", "drawn-sketch"] == 12
    with pytest.raises(UsageError, match="--label names source 'other', which has no images"):
        fetch(origin=drawn, label=(("other", "photo"),), **places)
    with pytest.raises(UsageError, match="--label describe a local --from, without a named"):
        fetch(["cufs"], origin=drawn, label=label, **places)


@pytest.mark.usefixtures("token")
def test_ciplab_keeps_the_difficulty(
    server: StubServer, places: Places, pictures: Pictures
) -> None:
    real, fake = pictures("photo", 2), pictures("generated", 4)
    names = ("easy_1_1110", "mid_20_0011", "hard_300_1111", "other")
    inner = {
        **{f"training_real/real_{i:05}.jpg": data for i, data in enumerate(real)},
        **{f"training_fake/{name}.jpg": data for name, data in zip(names, fake, strict=True)},
    }
    tops = ("real_and_fake_face/", "real_and_fake_face_detection/real_and_fake_face/")
    archive = zipped({top + name: data for top in tops for name, data in inner.items()})
    server.play_kaggle({"ciplab/real-and-fake-face-detection": Served(archive)})
    result = fetch(["ciplab-fakes"], **places)
    assert only(result).kinds == {"photo": 4, "composite": 8}
    assert result.deduplicated is not None
    assert result.deduplicated.dropped["same bytes"] == 6
    frame = table(places).filter(pl.col("excluded") == "")
    graded = {Path(path).stem: grade for path, grade in frame.select("path", "difficulty").rows()}
    assert graded == {
        "easy_1_1110": "easy", "mid_20_0011": "mid", "hard_300_1111": "hard", "other": "",
        "real_00000": "", "real_00001": "",
    }  # fmt: skip
    assert "0011" in frame["parts"].to_list()


@pytest.mark.parametrize("scan_page", [False, True])
def test_the_papers_drive_file(
    server: StubServer, places: Places, pictures: Pictures, scan_page: bool
) -> None:
    inner = zipped({"x.jpg": pictures("sketch", 1)[0]})
    archive = zipped({
        "Dataset/real/1.jpg": pictures("photo", 1)[0],
        "Dataset/cartoon/1.jpg": pictures("cartoon", 1)[0],
        "Dataset/sketches.zip": inner,
        "Dataset/readme.txt": b"text",
    })  # fmt: skip
    served = drive_file(archive, faults=[Fault(drop_after=300)])
    server.play_drive({PAPER: served}, scan_page=scan_page)
    fetched = only(fetch(["paper-collection"], **places))
    assert fetched.kinds == {"photo": 1, "cartoon": 1, "sketch": 1}
    assert fetched.left_out == 1
    assert len(fetched.marker.origin.archives) == 1
    assert fetched.marker.origin.archives[0].bytes == len(archive)
    assert "no file fits the rule *paint*/*" in fetched.notes


def test_a_drive_part_that_cannot_be_gone_on_with_is_started_over(
    server: StubServer, places: Places, pictures: Pictures
) -> None:
    archive = zipped({"real/1.jpg": pictures("photo", 1)[0]})
    served = drive_file(archive, ranges=False, faults=[Fault(drop_after=300)])
    server.play_drive({PAPER: served})
    assert only(fetch(["paper-collection"], **places)).kinds == {"photo": 1}


def test_a_users_own_copy_is_held_against_the_lock(
    server: StubServer, places: Places, pictures: Pictures, tmp_path: Path
) -> None:
    own = own_http(server, tmp_path)
    archive = zipped({"photo/1.png": pictures("photo", 1)[0]})
    server.serve("/faces.zip", archive)
    fetch(["faces"], catalog=own, **places)
    (tmp_path / "browser.zip").write_bytes(archive)
    (tmp_path / "other.zip").write_bytes(zipped({"photo/2.png": pictures("photo", 2)[1]}))
    fresh: Places = {**places, "root": tmp_path / "raw2"}
    with pytest.raises(SourceError, match="differs from"):
        fetch(["faces"], origin=tmp_path / "other.zip", catalog=own, locked=True, **fresh)
    copied = fetch(["faces"], origin=tmp_path / "browser.zip", catalog=own, locked=True, **fresh)
    assert only(copied).kinds == {"photo": 1}


def test_drives_quota_page_is_never_data(server: StubServer, places: Places) -> None:
    server.play_drive({}, quota=True)
    with pytest.raises(SourceError, match="quota for this file is spent"):
        fetch(["paper-collection"], **places)
    _nothing_kept(places)


def test_a_page_that_calls_itself_the_file_is_never_data(
    server: StubServer, places: Places
) -> None:
    page = b"<!DOCTYPE html><html>Google Drive - Quota exceeded</html>"
    server.play_drive({PAPER: drive_file(page)})
    with pytest.raises(SourceError, match="quota for this file is spent"):
        fetch(["paper-collection"], **places)
    _nothing_kept(places)


def test_a_drive_file_that_is_not_shared_is_told(server: StubServer, places: Places) -> None:
    server.play_drive({})
    with pytest.raises(SourceError, match="still shared with everyone"):
        fetch(["paper-collection"], **places)
    _nothing_kept(places)


def _nothing_kept(places: Places) -> None:
    left = [path for path in places["root"].rglob("*") if path.is_file()]
    assert left == []


def test_a_drive_folder(server: StubServer, places: Places, pictures: Pictures) -> None:
    ids = [letter * 30 for letter in "abc"]
    one, two, three = pictures("cartoon", 3)
    links = "".join(
        f'<a href="https://drive.google.com/file/d/{file}/view">{name}</a>'
        for file, name in zip(ids, ("11713-00.png", "11713-01.png", "readme.txt"), strict=True)
    )
    server.list_drive_folder("images", links)
    files = {ids[0]: drive_file(one), ids[1]: drive_file(two), ids[2]: drive_file(b"text")}
    server.play_drive(files)
    fetched = only(fetch(["metfaces"], **places))
    assert fetched.kinds == {"painting": 2}
    assert table(places)["group"].to_list() == ["metfaces/11713"] * 2
    (archive,) = fetched.marker.origin.archives
    assert archive.bytes == len(one) + len(two) + 4
    del three


@pytest.mark.usefixtures("token")
def test_kaggle_downloads_go_on_where_they_dropped(
    server: StubServer, places: Places, pictures: Pictures
) -> None:
    content = selfie2anime(pictures)
    # kagglesdk follows the redirect as well, before the bytes are asked for: it meets each second.
    fine = Fault()
    dropped = [Fault(drop_after=5000), Fault(503), fine, Fault(drop_after=900)]
    served = Served(content, faults=[fine, *dropped])
    server.play_kaggle({"arnaud58/selfie2anime": served})
    fetched = only(fetch(["selfie2anime"], keep_archives=True, **places))
    (kept,) = fetched.archives
    assert kept.read_bytes() == content
    assert "bytes=5000-" in server.ranges()
    assert "bytes=5900-" in server.ranges()


@pytest.mark.usefixtures("token")
def test_a_kaggle_download_that_falls_silent_is_tried_again(
    server: StubServer, places: Places, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kaggle, "TIMEOUT", 1)
    content = selfie2anime(pictures)
    served = Served(content, faults=[Fault(), Fault(pause=60)])
    server.play_kaggle({"arnaud58/selfie2anime": served})
    assert only(fetch(["selfie2anime"], deduplicate=False, **places)).kinds["photo"] == 3
    assert "bytes=1024-" in server.ranges()


def test_without_credentials_one_line_says_how_to_get_a_token(
    server: StubServer, places: Places
) -> None:
    server.play_kaggle({})
    with pytest.raises(SourceError, match="no Kaggle credentials: make a token at https") as told:
        fetch(["selfie2anime"], **places)
    assert "\n" not in str(told.value)


def test_a_rejected_token_is_told(
    server: StubServer, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "bad-token")
    server.play_kaggle({})
    with pytest.raises(SourceError, match="https://www.kaggle.com/settings/api"):
        fetch(["selfie2anime"], **places)


@pytest.mark.parametrize("how", ["token file", "name and key", "kaggle.json", "login"])
def test_every_kind_of_credentials_works(
    server: StubServer,
    places: Places,
    pictures: Pictures,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    how: str,
) -> None:
    folder = tmp_path / "home" / ".kaggle"
    folder.mkdir(parents=True)
    if how == "token file":
        (folder / "access_token").write_text("good-token")
    elif how == "name and key":
        monkeypatch.setenv("KAGGLE_USERNAME", "someone")
        monkeypatch.setenv("KAGGLE_KEY", "key")
    elif how == "login":
        login = {
            "refresh_token": "refresh",
            "access_token": "good-token",
            "access_token_expiration": "9999-01-01T00:00:00+00:00",
        }
        (folder / "credentials.json").write_text(json.dumps(login))
    else:
        monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(folder))
        (folder / "kaggle.json").write_text('{"username": "someone", "key": "key"}')
        (folder / "kaggle.json").chmod(0o600)
    server.play_kaggle({"arnaud58/selfie2anime": Served(selfie2anime(pictures))})
    assert only(fetch(["selfie2anime"], deduplicate=False, **places)).kinds["photo"] == 3


@pytest.mark.parametrize("stored", ['{"username": "someone"}', "not JSON", "[]"])
def test_a_damaged_kaggle_json_is_told(
    server: StubServer, places: Places, tmp_path: Path, stored: str
) -> None:
    folder = tmp_path / "home" / ".kaggle"
    folder.mkdir(parents=True)
    (folder / "kaggle.json").write_text(stored)
    server.play_kaggle({})
    with pytest.raises(SourceError, match=r"no Kaggle credentials \(.*\): make a token at https"):
        fetch(["selfie2anime"], **places)


@pytest.mark.usefixtures("token")
def test_a_403_says_which_rules_to_accept_and_where(
    server: StubServer, places: Places, tmp_path: Path
) -> None:
    server.play_kaggle({})
    with pytest.raises(
        SourceError,
        match="accept the rules at https://www.kaggle.com/datasets/arnaud58/selfie2anime,",
    ):
        fetch(["selfie2anime"], **places)
    own = tmp_path / "own.yaml"
    own.write_text(
        "faces: {platform: kaggle-competition, handle: some-contest, "
        "rules: [{files: '*', kind: photo}]}"
    )
    with pytest.raises(SourceError, match="kaggle.com/competitions/some-contest/rules"):
        fetch(["faces"], catalog=own, **places)


@pytest.mark.usefixtures("token")
def test_a_kaggle_competition(
    server: StubServer, places: Places, pictures: Pictures, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "faces: {platform: kaggle-competition, handle: some-contest, "
        "rules: [{files: 'train/*', kind: photo}]}"
    )
    server.play_kaggle({"some-contest": Served(zipped({"train/1.png": pictures("photo", 1)[0]}))})
    assert only(fetch(["faces"], catalog=own, **places)).kinds == {"photo": 1}


def test_a_github_archive_at_a_commit(
    server: StubServer, places: Places, pictures: Pictures, tmp_path: Path
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    own = tmp_path / "own.yaml"
    own.write_text(
        f"faces: {{platform: github, handle: someone/faces@{commit}, "
        "rules: [{files: 'img/*', kind: sketch}]}"
    )
    archive = zipped({f"faces-{commit}/img/1.png": pictures("sketch", 1)[0]})
    server.serve(f"/someone/faces/zip/{commit}", archive)
    fetched = only(fetch(["faces"], catalog=own, **places))
    assert fetched.kinds == {"sketch": 1}
    assert fetched.marker.origin.version == commit


def own_http(server: StubServer, tmp_path: Path) -> Path:
    own = tmp_path / "own.yaml"
    own.write_text(
        f"faces: {{platform: http, handle: '{server.url}/faces.zip', default: true, "
        "rules: [{files: 'photo/*', kind: photo}]}"
    )
    return own


def test_the_lock_pins_what_came_first(
    server: StubServer, places: Places, pictures: Pictures, tmp_path: Path
) -> None:
    one, two = pictures("photo", 2)
    own = own_http(server, tmp_path)
    served = server.serve("/faces.zip", zipped({"photo/1.png": one}))
    with pytest.raises(SourceError, match="is not in .*facecheck.lock"):
        fetch(["faces"], catalog=own, locked=True, **places)
    assert not server.seen
    fetch(["faces"], catalog=own, **places)
    stored = json.loads(places["lock"].read_text())["sources"]["faces"]
    assert stored["archives"][0]["bytes"] == len(served.content)
    assert stored["version"].startswith('"')

    again: Places = {**places, "root": tmp_path / "raw2"}
    assert only(fetch(["faces"], catalog=own, locked=True, **again)).notes == ()
    served.content = zipped({"photo/1.png": two})
    third: Places = {**places, "root": tmp_path / "raw3"}
    with pytest.raises(SourceError, match="differs from .*its archives have sha256"):
        fetch(["faces"], catalog=own, locked=True, **third)
    assert not (tmp_path / "raw3" / "photo").exists()
    (note,) = only(fetch(["faces"], catalog=own, **third)).notes
    assert "facecheck.lock was changed" in note
    with pytest.raises(SourceError, match="differs from"):  # what lies in the first is now old
        fetch(["faces"], catalog=own, locked=True, **places)


def test_another_handle_than_the_locked_is_refused_before_it_is_asked(
    server: StubServer, places: Places, pictures: Pictures, tmp_path: Path
) -> None:
    own = own_http(server, tmp_path)
    server.serve("/faces.zip", zipped({"photo/1.png": pictures("photo", 1)[0]}))
    fetch(["faces"], catalog=own, **places)
    own.write_text(own.read_text().replace("faces.zip", "other.zip"))
    asked = len(server.seen)
    elsewhere: Places = {**places, "root": tmp_path / "raw2"}
    with pytest.raises(SourceError, match="is locked to http .*faces.zip"):
        fetch(["faces"], catalog=own, locked=True, **elsewhere)
    assert len(server.seen) == asked
    with pytest.raises(SourceError, match="was fetched from http .*faces.zip: move it"):
        fetch(["faces"], catalog=own, **places)


def test_a_web_page_in_place_of_an_archive_is_never_data(
    server: StubServer, places: Places, tmp_path: Path
) -> None:
    server.serve("/faces.zip", b"<!DOCTYPE html><html>Please log in</html>")
    with pytest.raises(SourceError, match="a web page came instead of faces.zip"):
        fetch(["faces"], catalog=own_http(server, tmp_path), **places)
    assert not (places["root"] / "photo").exists()
    assert not list(places["root"].rglob("faces.zip"))


def test_a_damaged_archive_is_got_again(
    server: StubServer, places: Places, pictures: Pictures, tmp_path: Path
) -> None:
    whole = zipped({"photo/1.png": pictures("photo", 1)[0]})
    served = server.serve("/faces.zip", whole.replace(b"photo/1.png", b"photo/2.png", 1))
    with pytest.raises(SourceError, match="damaged"):
        fetch(["faces"], catalog=own_http(server, tmp_path), **places)
    served.content = whole
    assert only(fetch(["faces"], catalog=own_http(server, tmp_path), **places)).kinds["photo"] == 1


def test_rules_that_fit_nothing_say_what_is_there(
    server: StubServer, places: Places, pictures: Pictures, tmp_path: Path
) -> None:
    server.serve("/faces.zip", zipped({"faces/new/1.png": pictures("photo", 1)[0]}))
    with pytest.raises(SourceError, match=r"no image in it fits .* it holds faces/new/ \(1\)"):
        fetch(["faces"], catalog=own_http(server, tmp_path), **places)


def test_a_published_digest_that_differs_is_refused(
    server: StubServer, places: Places, pictures: Pictures, tmp_path: Path, token: None
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        f"faces: {{platform: kaggle, handle: a/b, sha256: '{'0' * 64}', "
        "rules: [{files: '*', kind: photo}]}"
    )
    server.play_kaggle({"a/b": Served(zipped({"1.png": pictures("photo", 1)[0]}))})
    with pytest.raises(SourceError, match="not 0000.* as published"):
        fetch(["faces"], catalog=own, **places)
    assert not list(places["root"].rglob("*.zip"))


def test_files_through_fsspec(places: Places, pictures: Pictures, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra `cloud` is not installed")
    store = fsspec.filesystem("memory")
    one, two = pictures("photo", 2)
    store.pipe({"/bucket/set/photo/1.png": one, "/bucket/set/2.png": two, "/bucket/x.png": two})
    store.pipe("/bucket/all.zip", zipped({"photo/3.png": two}))
    own = tmp_path / "own.yaml"
    rules = "rules: [{files: '**', kind: photo}]"
    own.write_text(
        f"folder: {{platform: cloud, handle: 'memory://bucket/set', {rules}}}\n"
        f"archive: {{platform: cloud, handle: 'memory://bucket/all.zip', {rules}}}\n"
        f"nothing: {{platform: cloud, handle: 'memory://bucket/none', {rules}}}\n"
    )
    result = fetch(["folder", "archive", "nothing"], catalog=own, **places)
    assert [fetched.marker.files for fetched in result.sources] == [2, 1]
    assert (places["root"] / "photo/folder/photo/1.png").read_bytes() == one
    assert "nothing is there" in result.failed["nothing"]
    store.rm("/bucket", recursive=True)


def test_files_of_s3(
    places: Places, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real s3fs against moto's server; runs where both are installed."""
    pytest.importorskip("s3fs", reason="the extra `cloud` is not installed")
    moto = pytest.importorskip("moto.server", reason="moto, which plays S3, is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    s3 = moto.ThreadedMotoServer("127.0.0.1", port=0)
    s3.start()
    try:
        address = "http://{}:{}".format(*s3.get_host_and_port())
        import s3fs

        store = s3fs.S3FileSystem(endpoint_url=address, use_listings_cache=False)
        store.mkdir("faces")
        one, two = pictures("photo", 2)
        store.pipe({"faces/set/a/1.png": one, "faces/bad/../../2.png": two})
        own = tmp_path / "own.yaml"
        own.write_text(
            "faces: {platform: cloud, handle: 's3://faces/set/a', "
            f"options: {{endpoint_url: '{address}'}}, rules: [{{files: '*', kind: photo}}]}}\n"
            "bad: {platform: cloud, handle: 's3://faces/bad', "
            f"options: {{endpoint_url: '{address}'}}, rules: [{{files: '*', kind: photo}}]}}"
        )
        with pytest.raises(SourceError, match="unsafe member name '../../2.png'"):
            fetch(["bad"], catalog=own, **places)
        own.write_text(own.read_text().replace("s3://faces/bad", "s3://nobody/bad"))
        with pytest.raises(SourceError, match="s3://nobody/bad: .*check the address"):
            fetch(["bad"], catalog=own, **places)
        fetched = only(fetch(["faces"], catalog=own, **places))
        assert fetched.kinds == {"photo": 1}
        assert fetched.marker.origin.version
    finally:
        s3.stop()


def test_a_missing_extra_is_one_line(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "faces: {platform: cloud, handle: 's3://b/k', rules: [{files: '*', kind: photo}]}"
    )
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(SourceError, match=r"pip install 'facecheck\[cloud\]'"):
        fetch(["faces"], catalog=own, **places)


def test_the_command_fetches_the_default_set(
    server: StubServer,
    pictures: Pictures,
    command: Callable[..., Outcome],
    tmp_path: Path,
    token: None,
) -> None:
    """`facecheck fetch` alone; a source that fails is one line, and the exit code is 1."""
    own_http(server, tmp_path)
    server.serve("/faces.zip", zipped({"photo/1.png": pictures("photo", 1)[0]}))
    server.play_kaggle({"arnaud58/selfie2anime": Served(selfie2anime(pictures))})
    server.play_drive({}, quota=True)
    (tmp_path / "facecheck.yaml").write_text("catalog: own.yaml\n")
    done = command("fetch")
    assert done.code == 1
    assert "faces: fetched: 1 files" in done.out
    assert "selfie2anime: fetched: 6 files" in done.out
    assert [line.split(":")[1] for line in done.err.splitlines()] == [
        " cufs", " ciplab-fakes", " paper-collection",
    ]  # fmt: skip
    assert (tmp_path / "data" / "raw" / "photo" / "faces" / "photo" / "1.png").is_file()
    assert (tmp_path / "data" / "manifest.csv").is_file()
    assert sorted(json.loads((tmp_path / "facecheck.lock").read_text())["sources"]) == [
        "faces", "selfie2anime",
    ]  # fmt: skip
    assert (
        json.loads(command("fetch", "faces", "--json", "--quiet").out)["sources"][0]["status"]
        == "already there"
    )


def test_the_commands_that_list_the_catalogue(
    command: Callable[..., Outcome], tmp_path: Path
) -> None:
    (tmp_path / "facecheck.yaml").write_text(
        "catalog:\n  mine: {platform: local, handle: x, rules: [{files: '*', kind: photo}]}\n"
    )
    for arguments in (("sources",), ("fetch", "--list")):
        done = command(*arguments)
        assert done.code == 0
        assert "not verified" in done.out
        for name in ("selfie2anime", "cufsf", "140k-faces", "metfaces", "lfw", "mine"):
            assert name in done.out
    assert "composites" in command("sources", "ciplab-fakes").out
    plan = command("fetch", "--dry-run", "selfie2anime", "cufsf")
    assert "390 MB" in plan.out
    assert "1 of unknown size" in plan.out
    assert command("fetch", "--dry-run", "lfq").code == 2
    assert json.loads(command("sources", "--json").out)["sources"][0]["source"]["verified"] is False
    assert not (tmp_path / "data").exists()
