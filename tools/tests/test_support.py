"""What is taken out of the archive for support, and that it comes about whatever is down."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tools.cluster import Cluster, Host
from tools.health import support
from tools.health.support import REMOVED, without_secrets

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\nhunter2\n-----END OPENSSH PRIVATE KEY-----"
HERE = Host("here1", {"ansible_connection": "local", "ansible_password": "hunter2"})
AWAY = Host("away1", {"ansible_host": "192.0.2.1", "ansible_ssh_common_args": "-o ConnectTimeout=1"})
EDGE = Cluster({"here1": HERE, "away1": AWAY}, {"edge": ["here1"]})


@pytest.mark.parametrize(
    "text",
    [
        "KAFKA_PASSWORD=hunter2",
        "ssl.keystore.password = hunter2",
        '{"ansible_password": "hunter2", "ansible_port": 22}',
        '{"ansible_become_password": "hunter2 with \\t spaces"}',
        "password: 'hunter2 and more'",
        'org.apache.kafka.PlainLoginModule required username="shop" password="hunter2";',
        "<property><name>fs.s3a.secret.key</name>\n  <value>hunter2</value></property>",
        "ExecStart=/usr/bin/tool --api-token hunter2 --verbose",
        "ExecStart=/usr/bin/tool --password=hunter2",
        "http_proxy=http://shop:hunter2@proxy.example:3128/",
        "Authorization: Bearer hunter2hunter2",
        "aws_secret_access_key=hunter2",
        f"before\n{KEY}\nafter",
        KEY.partition("-----END")[0],
    ],
)
def test_secrets_are_taken_out(text: str) -> None:
    cleaned = without_secrets(text)
    assert "hunter2" not in cleaned
    assert REMOVED in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "log.dirs=/var/lib/kafka/data",
        "<name>dfs.replication</name><value>2</value>",
        "Could not read signature secret file: /var/lib/hdfs/hadoop-http-auth-signature-secret",
        '{"ansible_host": "192.168.56.11", "memory_mib": 1792}',
        "INFO batch 12: 5 events = 5 counted + 0 repeated + 0 quarantined, in 0.4 s",
        "http://localhost:9870/jmx?qry=Hadoop:service=NameNode",
    ],
)
def test_what_helps_is_left(text: str) -> None:
    assert without_secrets(text) == text


def test_a_host_tells_its_units_versions_and_settings_and_no_keys() -> None:
    printed = subprocess.run(
        [sys.executable, str(support.COLLECT), "no-such-unit"], capture_output=True, text=True, check=True
    ).stdout
    files = json.loads(printed)
    assert {"units.txt", "versions.txt", "machine.txt", "journal/no-such-unit.log"} <= set(files)
    assert "no-such-unit" in files["units.txt"]
    assert not [name for name in files if name.endswith((".pem", ".key", ".keytab"))]


def test_the_archive_comes_about_with_hosts_down_and_the_newest_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "FOLDER", tmp_path)
    monkeypatch.setattr(support, "of_control", lambda cluster: {"inventory.json": json.dumps(dict(HERE.variables))})
    for number in range(support.KEPT + 2):
        (tmp_path / f"support-20000101-00000{number}.tar.gz").write_bytes(b"")
    path = support.make(EDGE)
    assert len(list(tmp_path.iterdir())) == support.KEPT
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        texts = {
            member.name.partition("/")[2]: (file.read().decode() if (file := archive.extractfile(member)) else "")
            for member in archive
        }
    assert "away1 cannot be reached" in texts["away1/missing.txt"]
    assert "here1/units.txt" in texts or "sudo" in texts["here1/missing.txt"]
    assert "hunter2" not in "".join(texts.values())


def test_a_host_that_tells_too_much_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "HOST_CHARACTERS", 12)
    told = json.dumps({"units.txt": "0123456789", "machine.txt": "0123456789"})
    monkeypatch.setattr(Host, "run", lambda *_, **__: type("Done", (), {"code": 0, "out": told})())
    assert support.of_host(EDGE, HERE) == {"units.txt": "0123456789", "machine.txt": "01"}
