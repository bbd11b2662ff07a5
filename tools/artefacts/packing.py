"""One archive of one product: what goes into it, and how it is put together.

The same inputs give the same bytes. An archive unpacks without a top folder of its own.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import uv

from tools.artefacts import maven
from tools.artefacts.products import Checkout, Jars, Product, digest_of, replace
from tools.terminal import Problem

FORMAT = 2  # raised when archives come to be made in another way, so that all are made again
HOST_PYTHON = (3, 11)  # of Debian 12, the hosts' system
PLATFORMS = {"x86_64": "x86_64-manylinux_2_28", "aarch64": "aarch64-manylinux_2_28"}
ZSTD_LEVEL = 3  # most of it is compressed already: higher levels cost time and gain nothing
# RECORD has the digest of scripts, and they the path of the checkout: the same inputs are to give the same bytes.
NEVER_SHIPPED = ("**/__pycache__", "**/*.pyi", "**/*.pxd", "**/*.pyx", ".lock", "*.dist-info/RECORD")
EPOCH = 1_577_836_800  # 2020-01-01
# Found once: archives are packed in several threads, and what this asks of Python 3.11 is not safe in them.
UV = uv.find_uv_bin()


def inputs(checkout: Checkout, product: Product, jars: Jars, arch: str) -> str:
    """Digest of everything that decides what is in the archive.

    Raises:
        Problem: a folder or file named in the row is missing.
    """
    texts = [product.requirements, "requirements/build.txt"] if product.requirements else []
    return digest_of(
        {
            "format": FORMAT,
            "row": vars(product),
            "jars": {folder: {str(c): digest for c, digest in locked.items()} for folder, locked in jars.items()},
            "requirements": [_existing(checkout.root / text, product).read_text() for text in texts],
            "arch": arch if product.requirements else "",
            "python": sys.version_info[:2] == HOST_PYTHON,
            "source": {str(inside): _digest(path) for inside, path in _source_files(checkout, product)},
        }
    )


def file_name(product: Product, digest: str, arch: str) -> tuple[str, str]:
    """Version and archive name of a product."""
    version = product.version or digest[:12]
    return version, f"{product.base}-{version}{f'-{arch}' if product.requirements else ''}.tar.zst"


def pack(
    checkout: Checkout,
    product: Product,
    jars: Jars,
    digest: str,
    arch: str,
    jars_are_there: Callable[[], None],
) -> dict[str, Any]:
    """Make one archive. It gets its name only when it is whole.

    Args:
        checkout: where.
        product: what.
        jars: the jars of this product.
        digest: what `inputs` gave for it.
        arch: machine of the hosts, x86_64 or aarch64.
        jars_are_there: returns when all jars have been fetched.

    Returns:
        Its row of the manifest.
    """
    version, name = file_name(product, digest, arch)
    stage = checkout.stage / product.name
    stage.mkdir(parents=True)
    if product.requirements:
        _install(checkout.root, product, stage, arch)
    for inside, path in _source_files(checkout, product):
        _copy(path, stage / inside)
    jars_are_there()
    for folder, locked in jars.items():
        for jar in locked:
            source = checkout.downloads / jar.file_name
            if folder == "unpack":
                _unpack(source, product.unpack[str(jar)], stage)
            else:
                _copy(source, stage / folder / jar.file_name)
    _drop(stage, (*NEVER_SHIPPED, *product.drop))
    _compile(stage, f"/opt/{product.base}-{version}")
    archive = checkout.archives / name
    replace(archive, partial(_tar, stage, digest))
    shutil.rmtree(stage)
    return {
        "version": version,
        "file": name,
        "sha256": maven.sha256(archive),
        "size": archive.stat().st_size,
        "inputs": digest,
    }


def unpack_into_source(checkout: Checkout, product: Product, jars: Iterable[maven.Coordinate]) -> None:
    """Put what is unpacked from jars into the package itself, for running it from the checkout."""
    for jar in jars:
        _unpack(
            checkout.downloads / jar.file_name,
            product.unpack[str(jar)],
            (checkout.root / product.source).parent,
        )


def _source_files(checkout: Checkout, product: Product) -> Iterator[tuple[Path, Path]]:
    """Place in the archive and path of every file of the product's own package, without its tests."""
    if not product.source:
        return
    top = _existing(checkout.root / product.source, product)
    unpacked = {target for members in product.unpack.values() for target in members.values()}
    found = [path for path in sorted(top.rglob("*")) if path.is_file()]
    if not found:
        raise Problem(f"{top} is empty; product {product.name} in tools/artefacts/artefacts.toml is made of it.")
    for path in found:
        inside = path.relative_to(top.parent)
        if not {"tests", "__pycache__"} & set(inside.parts) and str(inside) not in unpacked:
            yield inside, path


def _existing(path: Path, product: Product) -> Path:
    if not path.exists():
        raise Problem(f"{path} is missing; product {product.name} in tools/artefacts/artefacts.toml is made of it.")
    return path


def _digest(path: Path) -> str:
    """Content, and whether it can be executed."""
    return f"{maven.sha256(path)} {os.access(path, os.X_OK)}"


def _install(root: Path, product: Product, stage: Path, arch: str) -> None:
    """Install the locked Python distributions for the hosts' Python and machine.

    Copied, not linked to uv's cache: a change in the number of links is for tar a file that changed under it.
    """
    command = [UV, "pip", "install", "--quiet", "--target", str(stage), "--link-mode", "copy"]
    command += ["--require-hashes", "--no-deps"]
    command += ["--python-version", ".".join(map(str, HOST_PYTHON)), "--python-platform", PLATFORMS[arch]]
    command += [
        "--build-constraints",
        str(root / "requirements/build.txt"),
        "-r",
        str(root / product.requirements),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(f"{product.requirements} could not be installed for {product.name}:\n{done.stderr.strip()}")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _unpack(jar: Path, members: Mapping[str, str], stage: Path) -> None:
    """Take members out of a jar: a file, or a folder with all in it."""
    with zipfile.ZipFile(jar) as archive:
        for member, target in members.items():
            found = [n for n in archive.namelist() if n == member or (n.startswith(f"{member}/") and n[-1] != "/")]
            if not found:
                raise Problem(f"{jar} holds no {member}; correct tools/artefacts/artefacts.toml.")
            for name in found:
                path = stage / (target + name.removeprefix(member))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(name))


def _drop(stage: Path, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        for path in list(stage.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _compile(stage: Path, home: str) -> None:
    """Compile Python to byte code: daemons may not write into their installation, so hosts never could.

    Byte code fits one Python version only; where the control machine has another one, hosts go without.
    """
    if sys.version_info[:2] == HOST_PYTHON:
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH  # files of an archive never change in place
        compileall.compile_dir(stage, quiet=2, stripdir=str(stage), prependdir=home, invalidation_mode=mode)


def _tar(stage: Path, digest: str, archive: Path) -> None:
    """Pack the folder the same way every time.

    All files get one time that follows from the content: web servers and browsers take time and size for the
    identity of a file, so another content must mean another time.
    """
    seconds = EPOCH + int(digest[:7], 16) // 2
    tar = ["tar", "--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]
    tar += [f"--mtime=@{seconds}", "--mode=u+rwX,go+rX,go-w", f"--directory={stage}", "."]
    zstd = ["zstd", "-q", "-f", "-T0", f"-{ZSTD_LEVEL}", "-o", str(archive)]
    with subprocess.Popen(tar, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as packing:
        packed = subprocess.run(zstd, stdin=packing.stdout, stderr=subprocess.PIPE, text=True, check=False)
        said = (packing.stderr.read() if packing.stderr else "") + packed.stderr
    if packing.returncode or packed.returncode:
        archive.unlink(missing_ok=True)
        raise Problem(f"{archive} could not be written. Is the disk full?\n{said.strip()}")
