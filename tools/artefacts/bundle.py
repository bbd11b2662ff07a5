"""All that `make lab` fetches from the network, in one file: written by `make bundle`, read by `make lab BUNDLE=file`.

    python -m tools.artefacts.bundle write shopfloor.bundle
    python -m tools.artefacts.bundle read shopfloor.bundle          # or http://teacher:8000/shopfloor.bundle
    python -m tools.artefacts.bundle mirror shopfloor.bundle        # serves it there

A tar, whose first member says what it was made for and the sha256 of every other one: the archives that the hosts
receive, the base tree below them, and the control side's own Python distributions. Reading uses the standard library
only, for nothing is installed yet.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import IO, Any, cast

from lab.shopfloor_lab import base_tree
from tools import ROOT
from tools.artefacts import mirror
from tools.artefacts.mirror import MirrorError

MANIFEST = "bundle.json"
# What cannot be made anew without a network once it differs. Packages without requirements can.
MADE_OF = (
    "requirements/*.txt",
    "tools/artefacts/artefacts.*",
    "tools/artefacts/packing.py",
    "lab/shopfloor_lab/base_tree.py",
    "lab/shopfloor_lab/*.sh",
    "producer/retail_producer/**/*",
    "webapp/retail_webapp/**/*",
)
NOT_CHECKED_IN = {"__pycache__", "vendor"}
TREE = ("--xattrs", "--xattrs-include=*", "--numeric-owner")


class BundleError(Exception):
    """A bundle that cannot be used or written; the message says what to do."""


def made_for() -> dict[str, str]:
    """What a bundle has to fit, in this checkout and on this machine."""
    release = platform.freedesktop_os_release()
    recipe = base_tree.recipe()
    return {
        "the architecture": recipe.architecture,
        "the release": release.get("VERSION_CODENAME", release["ID"]),
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "the version of the checkout": version_of(ROOT),
        "the certificate authorities in /usr/local/share/ca-certificates": recipe.authorities[:12],
    }


def version_of(root: Path) -> str:
    """Digest of the files that decide what a checkout needs from the network."""
    content = sha256()
    for path in sorted({path for pattern in MADE_OF for path in root.glob(pattern)}):
        if path.is_file() and NOT_CHECKED_IN.isdisjoint(path.parts):
            content.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return content.hexdigest()[:12]


def write(bundle: Path, cache: Path) -> None:
    """Write a bundle of what lies in the cache, and of wheels that are fetched for it.

    Raises:
        BundleError: There is no base tree yet, or a part could not be had.
    """
    tree = cache / base_tree.recipe().folder_name
    if not tree.is_dir():
        raise BundleError(f"{tree} is missing, and belongs into the bundle: run `make hosts` once, then `make bundle`.")
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=cache) as name:
        work = Path(name)
        _say("Python distributions")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"]
        pip += ["--only-binary=:all:", "--requirement", str(ROOT / "requirements/control.txt")]
        _run([*pip, "--dest", str(work / "wheels")])
        _say("base tree")
        packed = work / f"{tree.name}.tar.zst"
        with packed.open("wb") as output:
            _run([*_root(), "tar", "--create", "--zstd", *TREE, "--directory", str(cache), tree.name], output)
        table = cache / "artefacts/manifest.json"
        archives = [table.with_name(row["file"]) for row in json.loads(table.read_text()).values()]
        parts = {f"wheels/{path.name}": path for path in sorted((work / "wheels").iterdir())}
        parts |= {packed.name: packed} | {f"artefacts/{path.name}": path for path in [*archives, table]}
        _say("bundle")
        part = bundle.with_name(f".{bundle.name}.unfinished")
        with tarfile.open(part, "w") as tar:
            files = {inside: _digest(path) for inside, path in parts.items()}
            _add(tar, MANIFEST, json.dumps({"for": made_for(), "files": files}))
            for inside, path in parts.items():
                tar.add(path, inside)
        part.replace(bundle)
    with bundle.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    print(f"  {bundle}: {bundle.stat().st_size / 1e6:.0f} MB, sha256 {digest}")


def read_from(source: str, cache: Path) -> None:
    """Read a bundle from a file, or from an address of the network: then it is kept in the cache while it is right.

    Raises:
        BundleError: As `read`.
        MirrorError: It could not be fetched.
    """
    if not source.startswith(("http://", "https://")):
        read(Path(source), cache)
        return
    fetched = mirror.fetch(source, cache / "bundle", lambda begun: check(begun, source))
    try:
        read(fetched, cache, source)
    except BundleError:
        fetched.unlink()
        raise


def check(bundle: Path, name: str = "") -> None:
    """See whether a file, or what is there of it, is a bundle for this machine and checkout.

    Args:
        bundle: The file.
        name: What it is called in messages.

    Raises:
        BundleError: It is not.
    """
    with _opened(bundle, name or str(bundle)):
        pass


def read(bundle: Path, cache: Path, name: str = "") -> None:
    """Check a bundle, and only then put what it holds into the cache.

    Args:
        bundle: The file.
        cache: Where what it holds belongs.
        name: What the bundle is called in messages.

    Raises:
        BundleError: It is not whole, no bundle at all, or one for something else. The cache is as it was.
    """
    name = name or str(bundle)
    with _opened(bundle, name) as (tar, files):
        _say("check the bundle")
        found = {member.name: _member_digest(tar, member) for member in tar if member.name != MANIFEST}
        wrong = sorted(row for row in found.keys() | files.keys() if found.get(row) != files.get(row))
        if wrong:
            raise BundleError(
                f"{name} is damaged (wrong checksum of {wrong[0]}): copy it anew from where `make bundle` wrote it."
            )
        for inside in files:
            target = cache / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}.unfinished")
            with cast("IO[bytes]", tar.extractfile(inside)) as source, part.open("wb") as output:
                shutil.copyfileobj(source, output)
            part.replace(target)
    for packed in cache.glob("base-*.tar.zst"):
        _unpack_tree(packed, cache / packed.name.removesuffix(".tar.zst"))
        packed.unlink()


def _unpack_tree(packed: Path, tree: Path) -> None:
    """Unpack beside its place, so that the tree is there whole or not at all."""
    if tree.is_dir():
        return
    _say("unpack the base tree")
    part = tree.with_name(f"{tree.name}.part")
    part.mkdir(exist_ok=True)
    _run([*_root(), "tar", "--extract", "--zstd", *TREE, "--file", str(packed), "--directory", str(part)])
    # The hosts have all packages already, but deployments ask Debian's servers for new lists when these look old.
    _run([*_root(), "touch", "--date=1 year", str(part / tree.name / "var/lib/apt/lists")])
    _run([*_root(), "mv", str(part / tree.name), str(tree)])
    part.rmdir()


@contextmanager
def _opened(bundle: Path, name: str) -> Iterator[tuple[tarfile.TarFile, Mapping[str, str]]]:
    """The bundle and the sha256 of its files by name, if it fits this machine and checkout."""
    try:
        with tarfile.open(bundle, "r:") as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST:
                raise tarfile.ReadError
            manifest: dict[str, Any] = json.load(cast("IO[bytes]", tar.extractfile(first)))
            for what, here in made_for().items():
                if (there := manifest["for"].get(what)) != here:
                    raise BundleError(
                        f"{name} was made for {what} {there}, and here it is {here}: "
                        "take one that `make bundle` wrote in a checkout and on a machine like these."
                    )
            if any(row.startswith("/") or ".." in row.split("/") for row in manifest["files"]):
                raise tarfile.ReadError
            yield tar, manifest["files"]
    except FileNotFoundError:
        raise BundleError(f"{name} is missing: `make bundle` writes one, on a machine with a network.") from None
    except (tarfile.TarError, IsADirectoryError, ValueError, KeyError):
        raise BundleError(
            f"{name} is no bundle, or not whole: copy it anew from where `make bundle` wrote it."
        ) from None


def _member_digest(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member) if member.isfile() else None
    return file_digest(file, "sha256").hexdigest() if file else ""  # type: ignore[arg-type] # a buffered reader


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _add(tar: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _root() -> list[str]:
    return ["sudo"] if os.geteuid() else []


def _run(command: Sequence[str], output: IO[bytes] | None = None) -> None:
    if subprocess.run(command, stdout=output, check=False).returncode:
        raise BundleError(f"`{' '.join(command)}` failed; mend what it said, and run the same command again.")


def _say(what: str) -> None:
    print(f"  {what} ...", flush=True)


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="bundle", description="All that `make lab` fetches, in one file.")
    parser.add_argument("command", choices=["write", "read", "mirror"])
    parser.add_argument("bundle", help="a file; to read, also an address of the network")
    parser.add_argument("--port", type=int, default=8000, help="where `mirror` listens")
    options = parser.parse_args()
    try:
        if options.command == "write":
            write(Path(options.bundle), ROOT / ".cache")
        elif options.command == "read":
            read_from(options.bundle, ROOT / ".cache")
        else:
            check(Path(options.bundle))
            mirror.serve(Path(options.bundle), options.port, "make lab BUNDLE={}")
    except (BundleError, MirrorError) as error:
        sys.exit(f"ERROR {error}")


if __name__ == "__main__":
    main()
