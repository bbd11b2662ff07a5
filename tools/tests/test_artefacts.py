"""A small checkout of its own, with real jars, real tar and zstd, the real uv and the real mvn."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import ROOT
from tools.artefacts import __main__ as artefacts
from tools.artefacts import maven, packing
from tools.artefacts.maven import Coordinate
from tools.artefacts.products import Checkout, Product
from tools.terminal import Problem

JAR = Coordinate.parse("org.example:pages:1.0:tests")
TABLE = """
maven_plugin = "{plugin}"
[product.engine]
version = "1.0"
files."lib" = ["org.example:pages:1.0:tests"]
[product.engine.unpack."org.example:pages:1.0:tests"]
"webapps/ui" = "web"
[product.shop]
source = "shop/retail_shop"
requirements = "requirements/shop.txt"
drop = ["bin"]
"""


def locked_requirement(name: str) -> str:
    """The lines of one distribution, with its hashes."""
    text = (ROOT / "requirements/dev.txt").read_text()
    found = re.search(rf"^{name}==[^\n]*\\\n(?:    --hash=[^\n]*\n)+", text, re.MULTILINE)
    assert found
    return found[0]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two products, whose jar is in the cache already."""
    plugin = tomllib.loads((ROOT / "tools/artefacts/artefacts.toml").read_text())["maven_plugin"]
    for folder in ("tools/artefacts", "requirements", "shop/retail_shop/tests", ".cache/downloads"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tools/artefacts/artefacts.toml").write_text(TABLE.format(plugin=plugin))
    (tmp_path / "requirements/build.txt").write_text("")
    (tmp_path / "requirements/shop.txt").write_text(locked_requirement("blinker"))
    (tmp_path / "shop/retail_shop/__init__.py").write_text("PRICE = 1\n")
    (tmp_path / "shop/retail_shop/tests/test_x.py").write_text("")
    jar = tmp_path / ".cache/downloads" / JAR.file_name
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("webapps/ui/index.html", "<p>hello")
        archive.writestr("webapps/uiother/not.html", "")
    checkout = Checkout.at(tmp_path)
    checkout.lock_file.write_text(
        f'roots = "{checkout.roots_digest()}"\n[engine."lib"]\n"{JAR}" = "{maven.sha256(jar)}"\n'
        f'[engine."unpack"]\n"{JAR}" = "{maven.sha256(jar)}"\n'
    )
    monkeypatch.setattr(artefacts, "ROOT", tmp_path)
    return tmp_path


def members(archive: Path) -> list[str]:
    listing = subprocess.run(["tar", "--zstd", "-tf", archive], capture_output=True, text=True, check=True)
    return [line.removeprefix("./") for line in listing.stdout.splitlines() if not line.endswith("/")]


def archive_of(root: Path, product: str) -> Path:
    return root / ".cache/artefacts" / str(Checkout.at(root).manifest()[product]["file"])


def test_all_makes_an_archive_of_every_product(root: Path) -> None:
    artefacts.main(["all", "--arch", "aarch64"])
    rows = Checkout.at(root).manifest()
    assert rows["engine"]["file"] == "engine-1.0.tar.zst"
    assert rows["engine"]["size"] == archive_of(root, "engine").stat().st_size
    assert members(archive_of(root, "engine")) == ["lib/pages-1.0-tests.jar", "web/index.html"]
    assert re.fullmatch(r"shop-[0-9a-f]{12}-aarch64.tar.zst", rows["shop"]["file"])
    inside = members(archive_of(root, "shop"))
    assert "retail_shop/__init__.py" in inside
    assert "blinker/__init__.py" in inside
    assert not [name for name in inside if "tests" in name or name.startswith("bin/") or name == ".lock"]


def test_what_did_not_change_is_not_made_again(root: Path) -> None:
    artefacts.main(["all"])
    before = {name: archive_of(root, name).stat().st_mtime_ns for name in ("engine", "shop")}
    artefacts.main(["all"])
    (root / "shop/retail_shop/tests/test_x.py").write_text("# tests are not shipped\n")
    artefacts.main(["all"])
    assert {name: archive_of(root, name).stat().st_mtime_ns for name in ("engine", "shop")} == before


def test_a_changed_source_gives_a_new_version_and_leaves_the_others(root: Path) -> None:
    artefacts.main(["all"])
    engine, shop = archive_of(root, "engine").stat().st_mtime_ns, archive_of(root, "shop")
    (root / "shop/retail_shop/__init__.py").write_text("PRICE = 2\n")
    artefacts.main(["all"])
    assert archive_of(root, "engine").stat().st_mtime_ns == engine
    assert archive_of(root, "shop").name != shop.name
    assert shop.exists()  # a deploy that began before may still be sending it


def test_the_same_inputs_give_the_same_bytes(root: Path) -> None:
    artefacts.main(["all"])
    first = Checkout.at(root).manifest()
    for archive in (root / ".cache/artefacts").iterdir():
        archive.unlink()
    artefacts.main(["all"])
    assert Checkout.at(root).manifest() == first


def test_another_content_of_the_same_size_gets_another_time(root: Path) -> None:
    times = []
    for price in "12":
        (root / "shop/retail_shop/__init__.py").write_text(f"PRICE = {price}\n")
        artefacts.main(["pack"])
        listing = subprocess.run(
            ["tar", "--zstd", "-tvf", archive_of(root, "shop"), "./retail_shop/__init__.py"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        times.append(listing.stdout.split()[3:5])
    assert times[0] != times[1]


def test_a_damaged_archive_is_refused_with_what_to_do(root: Path) -> None:
    artefacts.main(["all"])
    archive = archive_of(root, "engine")
    good = maven.sha256(archive)
    with archive.open("r+b") as file:
        file.seek(20)
        file.write(b"damage")
    with pytest.raises(Problem) as refused:
        artefacts.main(["all"])
    for words in (
        str(archive),
        f"expected sha256 {good}",
        f"found    sha256 {maven.sha256(archive)}",
        "Remove",
    ):
        assert words in str(refused.value)
    archive.unlink()
    artefacts.main(["all"])
    assert maven.sha256(archive) == good


def test_verify_wants_an_archive_of_every_product(root: Path) -> None:
    with pytest.raises(Problem, match=r"of engine, shop\. Run `make artefacts`"):
        artefacts.main(["verify"])


def test_a_wrong_jar_stops_with_file_expected_and_found(root: Path) -> None:
    jar = root / ".cache/downloads" / JAR.file_name
    expected = maven.sha256(jar)
    jar.write_bytes(b"something else")
    with pytest.raises(Problem) as refused:
        artefacts.main(["all"])
    for words in (str(jar), f"expected sha256 {expected}", f"found    sha256 {maven.sha256(jar)}", "Remove"):
        assert words in str(refused.value)
    assert not list((root / ".cache/artefacts").glob("engine*"))


def test_a_wrong_hash_of_a_distribution_stops(root: Path) -> None:
    text = locked_requirement("blinker")
    wrong = re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, text)
    (root / "requirements/shop.txt").write_text(wrong)
    with pytest.raises(Problem, match="could not be installed for shop"):
        artefacts.main(["all"])
    assert not list((root / ".cache/artefacts").glob("*shop*"))


def test_a_lock_that_does_not_fit_the_table_is_noticed(root: Path) -> None:
    table = root / "tools/artefacts/artefacts.toml"
    table.write_text(table.read_text().replace('"lib"', '"libs"'))
    with pytest.raises(Problem, match="Run `make lock`"):
        artefacts.main(["all"])


@pytest.mark.parametrize("stays", [True, False])
def test_a_missing_or_empty_package_is_named(root: Path, stays: bool) -> None:
    folder = root / "shop/retail_shop"
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    if not stays:
        folder.rmdir()
    with pytest.raises(Problem, match=r"retail_shop is (missing|empty); product shop"):
        artefacts.main(["all"])


def test_an_unknown_key_in_a_row_is_refused() -> None:
    with pytest.raises(Problem, match="product x: unknown key verison"):
        Product.from_row("x", {"verison": "1"})


def test_maven_brings_exactly_what_is_asked_and_a_wrong_checksum_leaves_nothing(tmp_path: Path) -> None:
    checkout = Checkout.at(ROOT)
    ((jar, digest),) = checkout.locked()["retail-dashboard"]["unpack"].items()
    maven.fetch(checkout.maven_plugin, {jar: digest}, tmp_path / "good")
    assert [path.name for path in (tmp_path / "good").iterdir()] == [jar.file_name]
    with pytest.raises(Problem, match=rf"(?s)expected sha256 0000.*found    sha256 {digest}"):
        maven.fetch(checkout.maven_plugin, {jar: "0" * 64}, tmp_path / "bad")
    assert list((tmp_path / "bad").iterdir()) == []


def test_maven_says_which_jar_it_cannot_find(tmp_path: Path) -> None:
    missing = Coordinate("org.webjars.npm", "no-such-thing-here", "0.0.1")
    with pytest.raises(Problem, match=r"(?s)Maven failed.*no-such-thing-here"):
        maven.fetch(Checkout.at(ROOT).maven_plugin, {missing: "0" * 64}, tmp_path)


def our_jars() -> Iterator[tuple[str, str, Coordinate, str]]:
    for product, folders in Checkout.at(ROOT).locked().items():
        for folder, jars in folders.items():
            for jar, digest in jars.items():
                yield product, folder, jar, digest


def test_our_lock_is_whole() -> None:
    rows = list(our_jars())
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for *_, digest in rows)
    names = {jar.file_name: jar for _, _, jar, _ in rows}
    assert all(names[jar.file_name] == jar for _, _, jar, _ in rows)
    assert {product.partition("@")[0] for product, *_ in rows} == {"hadoop", "kafka", "spark", "retail-dashboard"}


def test_logging_of_kafka_has_one_binding_that_fits_its_slf4j() -> None:
    names = {jar.artifact: jar.version for product, _, jar, _ in our_jars() if product == "kafka"}
    assert names["slf4j-api"].startswith("1.7.")
    assert [name for name in names if "slf4j" in name and "impl" in name] == ["log4j-slf4j-impl"]
    assert names["log4j-slf4j-impl"] == names["log4j-core"]


def test_requirements_are_hashed_name_no_registry_and_agree_with_each_other() -> None:
    versions: dict[str, str] = {}
    for name in (*artefacts.REQUIREMENTS, *artefacts.OVERRIDES):
        text = (ROOT / f"requirements/{name}.txt").read_text()
        assert "://" not in text
        for distribution, version, rest in re.findall(r"^([\w.-]+)==([^\s;]+)([^\n]*)", text, re.MULTILINE):
            assert rest.endswith("\\"), f"{distribution} in {name}.txt has no hash"
            if name not in ("build", *artefacts.OVERRIDES):
                assert versions.setdefault(distribution + rest, version) == version  # the rest may name a Python


def test_the_manifest_holds_what_roles_read(root: Path) -> None:
    artefacts.main(["all"])
    manifest = json.loads((root / ".cache/artefacts/manifest.json").read_text())
    assert {"version", "file", "sha256", "size"} <= manifest["engine"].keys()
    assert packing.PLATFORMS.keys() == {"x86_64", "aarch64"}
