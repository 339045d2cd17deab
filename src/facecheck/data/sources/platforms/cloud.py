"""Object stores and hubs (s3, gs, az, hf and others) through fsspec, of the extra ``cloud``."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

from facecheck.core.errors import FacecheckError, SourceError, reason
from facecheck.core.files import require_space
from facecheck.core.install import extra_hint
from facecheck.core.text import without_secrets
from facecheck.data.sources.catalog import Source
from facecheck.data.sources.platforms import Download, Interrupted, Transfer, one_by_one

_BLOCK = 2**22
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "commit_hash", "LastModified", "mtime")


def where(source: Source) -> str:
    """Return the addresses."""
    return ", ".join(map(without_secrets, source.handles))


def download(source: Source, folder: Path, transfer: Transfer) -> list[Download]:
    """Get each address, a file or all files below a folder, to ``folder``.

    Raises:
        SourceError: a package for this store is missing, the address or its credentials are
            wrong, or the connection fails too often.
    """

    def get(handle: str, part: Transfer) -> list[Download]:
        filesystem, path = _opened(handle, source)
        try:
            files = _listed(filesystem, path)
            if not files:
                raise SourceError(f"{handle}: nothing is there: check the address")
            total = sum(info["size"] or 0 for _, info in files) or None
            require_space(folder, total or 0, f"downloading {without_secrets(handle)}")
            return _all(filesystem, path, files, folder, part, total)
        except ImportError as error:
            raise SourceError(_missing_extra(handle, error)) from None
        except (FacecheckError, Interrupted):
            raise
        except Exception as error:  # each store has a tree of errors of its own
            raise SourceError(
                f"{handle}: {reason(error)}: check the "
                "address and the store's own credentials, then run the same command again"
            ) from None

    return one_by_one(source.handles, transfer, get)


def _opened(handle: str, source: Source) -> tuple[Any, str]:
    """Return the filesystem of an address, and the path in it."""
    try:
        from fsspec.core import url_to_fs

        filesystem, path = url_to_fs(handle, **source.options)
    except ImportError as error:
        raise SourceError(_missing_extra(handle, error)) from None
    except (ValueError, TypeError) as error:
        raise SourceError(f"{handle}: {error}: correct the handle or its options") from None
    return filesystem, str(path)


def _missing_extra(handle: str, error: ImportError) -> str:
    return extra_hint(f"{handle}: {error}: the address", "cloud")


def _listed(filesystem: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    found: dict[str, dict[str, Any]] = filesystem.find(path, detail=True)
    return sorted((name, info) for name, info in found.items() if info.get("type") == "file")


def _all(
    filesystem: Any,
    path: str,
    files: list[tuple[str, dict[str, Any]]],
    folder: Path,
    transfer: Transfer,
    total: int | None,
) -> list[Download]:
    downloads = []
    done = 0
    for name, info in files:
        inner = name.removeprefix(f"{path.rstrip('/')}/")
        version = next((str(info[key]) for key in _VERSIONS if info.get(key)), "")
        # The name carries the version, so that bytes of two versions never meet.
        state = f"{name} {version} {info.get('size')}".encode()
        digest = hashlib.sha256(state).hexdigest()[:16]
        target = folder / f"{digest}-{PurePosixPath(name).name[-100:]}"
        _one(filesystem, name, info, target, transfer.after(done, total), resumable=bool(version))
        done += target.stat().st_size
        downloads.append(Download(target, version, inner=PurePosixPath(inner)))
    if len(downloads) == 1 and files[0][0] == path:
        return [Download(downloads[0].path, downloads[0].version)]
    return downloads


def _one(
    filesystem: Any,
    name: str,
    info: dict[str, Any],
    target: Path,
    transfer: Transfer,
    *,
    resumable: bool,
) -> None:
    """Read one file in blocks, through failures, to ``target``."""
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    if not resumable:
        part.unlink(missing_ok=True)
    failures = 0
    while True:
        done = part.stat().st_size if part.exists() else 0
        try:
            with filesystem.open(name, "rb") as stream, part.open("ab") as out:
                stream.seek(done)
                while block := stream.read(_BLOCK):
                    transfer.check_cancelled()
                    out.write(block)
                    done += len(block)
                    failures = 0
                    transfer.progress(done, info.get("size"))
            break
        except (FacecheckError, Interrupted, FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # as above; what does not pass is raised in the end
            failures += 1
            if failures >= transfer.retry.attempts:
                raise SourceError(f"{name}: {error}, {failures} times in a row") from None
            transfer.wait(failures, None)
    if info.get("size") not in {None, done}:
        part.unlink()
        raise SourceError(f"{name}: {done:,} bytes came instead of {info['size']:,}: try again")
    part.replace(target)
