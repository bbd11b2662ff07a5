from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time
from hashlib import sha256
from pathlib import Path

import pytest

from tools import ROOT
from tools.artefacts import bundle
from tools.artefacts.bundle import BundleError

WHEEL = b"a wheel"


def written(
    path: Path,
    *,
    made_for: dict[str, str] | None = None,
    name: str = "wheels/a.whl",
    content: bytes = WHEEL,
    promised: bytes = WHEEL,
) -> Path:
    """A bundle of one file, whatever was promised of it."""
    files = {name: sha256(promised).hexdigest()}
    with tarfile.open(path, "w") as tar:
        manifest = json.dumps({"for": made_for or bundle.made_for(), "files": files}).encode()
        for member, held in ((bundle.MANIFEST, manifest), (name, content)):
            row = tarfile.TarInfo(member)
            row.size = len(held)
            tar.addfile(row, io.BytesIO(held))
    return path


def test_what_a_bundle_holds_is_put_into_the_cache(tmp_path: Path) -> None:
    bundle.read(written(tmp_path / "bundle"), tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").rglob("*")] == ["wheels", "a.whl"]
    assert (tmp_path / "cache/wheels/a.whl").read_bytes() == WHEEL


@pytest.mark.parametrize("what", bundle.made_for())
def test_a_bundle_for_something_else_is_refused_before_anything_is_changed(tmp_path: Path, what: str) -> None:
    other = bundle.made_for() | {what: "another"}
    with pytest.raises(
        BundleError, match=rf"was made for {what} another, and here it is .*: take one that `make bundle`"
    ):
        bundle.read(written(tmp_path / "bundle", made_for=other), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_bundle_with_a_wrong_checksum_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is damaged \(wrong checksum of wheels/a\.whl\): copy it anew"):
        bundle.read(written(tmp_path / "bundle", content=b"a wheeI"), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("length", [0, 300, 600, 1600])
def test_a_bundle_that_was_cut_off_is_refused_before_anything_is_changed(tmp_path: Path, length: int) -> None:
    whole = written(tmp_path / "bundle")
    whole.write_bytes(whole.read_bytes()[:length])
    with pytest.raises(BundleError, match="copy it anew"):
        bundle.read(whole, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside"])
def test_a_bundle_writes_nowhere_but_into_the_cache(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="is no bundle"):
        bundle.read(written(tmp_path / "bundle", name=name), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("README.md", "is no bundle, or not whole: copy it anew"),
        ("docs", "is no bundle, or not whole: copy it anew"),
        ("missing.bundle", "is missing: `make bundle` writes one"),
    ],
)
def test_make_lab_refuses_what_is_no_bundle_in_one_sentence(tmp_path: Path, name: str, sentence: str) -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-B", "-m", "tools.artefacts.bundle", "read", ROOT / name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ERROR ") and sentence in done.stderr and done.stderr.count("\n") == 1


def test_the_base_tree_is_unpacked_and_deployments_need_no_new_lists_of_packages_for_a_year(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "_root", list)  # this tree holds nothing of root's
    (tmp_path / "base-x/var/lib/apt/lists").mkdir(parents=True)
    packed = tmp_path / "base-x.tar.zst"
    subprocess.run(["tar", "--create", "--zstd", "--file", packed, "--directory", tmp_path, "base-x"], check=True)
    content = packed.read_bytes()
    bundle.read(written(tmp_path / "bundle", name=packed.name, content=content, promised=content), tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["base-x"]
    lists = tmp_path / "cache/base-x/var/lib/apt/lists"
    assert lists.stat().st_mtime > time.time() + 360 * 86400


def test_a_checkout_is_another_version_when_what_cannot_be_made_without_a_network_differs(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    lock = tmp_path / "requirements/control.txt"
    lock.write_text("ansible==12.3.0\n")
    before = bundle.version_of(tmp_path)
    (tmp_path / "README.md").write_text("anything")
    assert bundle.version_of(tmp_path) == before
    lock.write_text("ansible==12.3.1\n")
    assert bundle.version_of(tmp_path) != before


def test_without_a_base_tree_no_bundle_is_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="run `make hosts` once, then `make bundle`"):
        bundle.write(tmp_path / "bundle", tmp_path)
    assert not list(tmp_path.iterdir())
