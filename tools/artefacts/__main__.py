"""What the hosts receive: lock it, fetch it, pack one archive per product, prove that each is whole.

    python -m tools.artefacts all     what `make artefacts` calls: fetch and pack what changed, verify all
    python -m tools.artefacts lock    resolve anew: jars into artefacts.lock, Python into requirements/*.txt

Products are rows of artefacts.toml. An archive is made again only when something that goes into it changed.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uv

from tools import ROOT
from tools import cluster as clusters
from tools.artefacts import maven, packing
from tools.artefacts.maven import Coordinate
from tools.artefacts.products import Checkout, Jars, Product, replace
from tools.terminal import Problem, console, run, step

REQUIREMENTS = ("dev", "build", "control", "local", "jobs", "kafka", "producer", "webapp")  # dev decides the versions
# Another version of one distribution, `<name>.in`, in the place of that in another list.
OVERRIDES = {"jobs-4.1.1": "jobs"}
KEPT_SECONDS = 24 * 3600  # for archives that no manifest names: another run may still be sending one


def lock(checkout: Checkout, *, upgrade: bool) -> None:
    """Resolve jars and Python distributions anew, and write their locks.

    Args:
        checkout: where.
        upgrade: whether Python distributions move to their newest fitting versions, or stay where they can.
    """
    with step("Python requirements"):
        for name in (*REQUIREMENTS, *OVERRIDES):
            _compile_requirements(checkout.root / "requirements", name, upgrade)
    with step("jars"):
        resolved = _resolve(checkout)
        digests = _first_sight(checkout, resolved)
    lines = [
        "# Made by `make lock` from artefacts.toml; not to be edited.",
        f'roots = "{checkout.roots_digest()}"',
    ]
    for product, folders in resolved.items():
        for folder, jars in folders.items():
            lines += ["", f'["{product}"."{folder}"]', *(f'"{jar}" = "{digests[jar]}"' for jar in jars)]
    replace(checkout.lock_file, lambda path: path.write_text("\n".join(lines) + "\n"))
    console.print("  Look at the difference before you commit it: git diff requirements tools/artefacts/artefacts.lock")


def _compile_requirements(folder: Path, name: str, upgrade: bool) -> None:
    python = ".".join(map(str, packing.HOST_PYTHON))
    command = [uv.find_uv_bin(), "pip", "compile", "--quiet", "--generate-hashes", "--no-emit-index-url"]
    command += ["--universal", "--python-version", python, "--custom-compile-command", "make lock"]
    command += ["--upgrade"] if upgrade else []
    command += [] if name in ("dev", "build", *OVERRIDES) else ["--constraints", "dev.txt"]
    if base := OVERRIDES.get(name):
        shutil.copy(folder / f"{base}.txt", folder / f"{name}.txt")  # what stands in the output is kept where it can be
        command += ["--overrides", f"{name}.in"]
    command += [f"{base or name}.in", "--output-file", f"{name}.txt"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(f"requirements/{name}.in could not be resolved:\n{done.stderr.strip()}")


def _resolve(checkout: Checkout) -> dict[str, dict[str, list[Coordinate]]]:
    """The jars of every product by folder: those under `jars` with all they need, the others alone."""
    roots = {
        f"{product.name} {folder}": [Coordinate.parse(jar) for jar in jars]
        for product in checkout.products
        for folder, jars in product.jars.items()
    }
    needed = maven.resolve(checkout.maven_plugin, roots)
    resolved = {}
    for product in checkout.products:
        alone = dict(product.files) | ({"unpack": list(product.unpack)} if product.unpack else {})
        folders = {folder: needed[f"{product.name} {folder}"] for folder in product.jars}
        folders |= {folder: sorted(Coordinate.parse(jar) for jar in jars) for folder, jars in alone.items()}
        if folders:
            resolved[product.name] = folders
    return resolved


def _first_sight(checkout: Checkout, resolved: Mapping[str, Mapping[str, list[Coordinate]]]) -> dict[Coordinate, str]:
    """Fetch all jars and tell their sha256. One that was locked before must be what it was."""
    known = {
        jar: digest for jars in checkout.locked(stale=True).values() for f in jars.values() for jar, digest in f.items()
    }
    wanted = {jar: known.get(jar, "") for folders in resolved.values() for jars in folders.values() for jar in jars}
    by_name: dict[str, Coordinate] = {}
    for jar in wanted:
        if by_name.setdefault(jar.file_name, jar) != jar:
            raise Problem(f"{jar} and {by_name[jar.file_name]} have the same file name; the cache cannot hold both.")
    maven.fetch(checkout.maven_plugin, wanted, checkout.downloads)
    return {jar: maven.sha256(checkout.downloads / jar.file_name) for jar in wanted}


def fetch(checkout: Checkout, products: Sequence[Product], locked: Mapping[str, Jars]) -> None:
    """Bring the jars of these products into the cache and check each against the lock."""
    wanted = {jar: digest for p in products for f in locked.get(p.name, {}).values() for jar, digest in f.items()}
    with step(f"{len(wanted)} jars"):
        maven.fetch(checkout.maven_plugin, wanted, checkout.downloads)


def pack(checkout: Checkout, products: Sequence[Product], arch: str) -> None:
    """Make every archive of these products whose inputs changed, and fetch what that needs."""
    locked = checkout.locked()
    digests = {p.name: packing.inputs(checkout, p, locked.get(p.name, {}), arch) for p in products}
    manifest = checkout.manifest()
    stale = [p for p in products if not _is_current(checkout, manifest, p, digests[p.name])]
    if not stale and manifest.keys() == digests.keys():
        return
    checkout.archives.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(checkout.stage, ignore_errors=True)  # left by an interrupted run
    with ThreadPoolExecutor(1) as fetching, ThreadPoolExecutor(os.cpu_count()) as packers:
        jars = fetching.submit(fetch, checkout, stale, locked)

        def pack_one(product: Product) -> tuple[str, dict[str, Any]]:
            with step(product.name):
                return product.name, packing.pack(
                    checkout, product, locked.get(product.name, {}), digests[product.name], arch, jars.result
                )

        for done in as_completed([packers.submit(pack_one, product) for product in stale]):
            name, row = done.result()
            manifest[name] = row
            checkout.write_manifest(manifest)
    manifest = {p.name: manifest[p.name] for p in products}
    checkout.write_manifest(manifest)
    _prune(checkout, {row["file"] for row in manifest.values()})


def _is_current(
    checkout: Checkout, manifest: Mapping[str, Mapping[str, object]], product: Product, digest: str
) -> bool:
    row = manifest.get(product.name)
    return row is not None and row["inputs"] == digest and (checkout.archives / str(row["file"])).exists()


def _prune(checkout: Checkout, named: set[str]) -> None:
    """Remove archives that have had no use for a while."""
    for archive in checkout.archives.glob("*.tar.zst"):
        if archive.name not in named and time.time() - archive.stat().st_mtime > KEPT_SECONDS:
            archive.unlink()


def verify(checkout: Checkout, products: Sequence[Product]) -> None:
    """Compare every archive with the manifest.

    Raises:
        Problem: an archive is missing or damaged.
    """
    rows = checkout.manifest()
    unmade = [product.name for product in products if product.name not in rows]
    if unmade:
        raise Problem(f"No archive has been made of {', '.join(unmade)}. Run `make artefacts`.")
    paths = [checkout.archives / row["file"] for row in rows.values()]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise Problem(f"{missing[0]} is missing. Run `make artefacts`: it is made again.")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(maven.sha256, paths))
    for path, row, digest in zip(paths, rows.values(), found, strict=True):
        if digest != row["sha256"]:
            raise Problem(
                f"{path} is damaged; nothing was deployed.\n  expected sha256 {row['sha256']}\n"
                f"  found    sha256 {digest}\n"
                "  Remove that file and run the same command again: it is made again from the downloads."
            )


def vendor(checkout: Checkout) -> None:
    """Put what packages take out of jars (Chart.js) into the checkout, to run them from there."""
    locked = checkout.locked()
    for product in checkout.products:
        if product.source and product.unpack:
            fetch(checkout, [product], locked)
            packing.unpack_into_source(checkout, product, locked[product.name]["unpack"])


@contextmanager
def alone(checkout: Checkout) -> Iterator[None]:
    """Two labs may be made side by side from one checkout: the second waits for the first one's archives."""
    folder = checkout.root / ".cache"
    folder.mkdir(exist_ok=True)
    with (folder / "artefacts.busy").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("  Another command is making the artefacts; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="artefacts", description="Lock, fetch, pack and verify what hosts receive.")
    parser.add_argument("command", choices=["all", "lock", "fetch", "pack", "verify", "vendor"])
    parser.add_argument("--arch", choices=sorted(packing.PLATFORMS), default=platform.machine(), help="of the hosts")
    parser.add_argument("--inventory", type=Path, help="its product_versions are made, too")
    parser.add_argument("--also", metavar="NAME@VERSION", help="a further version of a product")
    parser.add_argument("--upgrade", action="store_true", help="lock: move Python distributions to newer versions")
    options = parser.parse_args(arguments)
    checkout = Checkout.at(ROOT)
    products = checkout.chosen(_wanted(options.inventory, options.also))
    with alone(checkout):
        if options.command == "lock":
            lock(checkout, upgrade=options.upgrade)
        elif options.command == "fetch":
            fetch(checkout, products, checkout.locked())
        elif options.command == "vendor":
            vendor(checkout)
        if options.command in ("pack", "all"):
            pack(checkout, products, options.arch)
        if options.command in ("verify", "all"):
            verify(checkout, products)
            if options.command == "all":
                size = sum(row["size"] for row in checkout.manifest().values()) / 1e6
                console.print(f"  {len(products)} archives, {size:.0f} MB, all whole")


def _wanted(inventory: Path | None, also: str | None) -> set[tuple[str, str]]:
    """Versions by product, beside the newest."""
    asked = (
        clusters.from_inventory([str(inventory)]).variable("product_versions", dict[str, str]()) if inventory else {}
    )
    return {*asked.items(), *([(also.partition("@")[0], also.partition("@")[2])] if also else [])}


if __name__ == "__main__":
    run(main)
