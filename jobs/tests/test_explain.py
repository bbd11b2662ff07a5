"""What an error is told as: errors of a real JVM, a real HDFS, the operating system and the settings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession
from retail_jobs.errors import JobError, TemporaryError
from retail_jobs.explain import Explanation, explain
from retail_jobs.lock import hold
from retail_jobs.report import Report
from retail_jobs.settings import Settings
from retail_jobs.storage import Storage

from tools import JOBS_PATH
from tools.testing.hdfs_daemons import DATANODE, NAMENODE, Hdfs, running_hdfs


def explained(action: Callable[[], object]) -> Explanation:
    """What the error that an action ends with is told as."""
    try:
        action()
    except Exception as error:
        return explain(error)
    pytest.fail("it did not fail")


@pytest.fixture(scope="module")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    with running_hdfs(tmp_path_factory.mktemp("hdfs")) as daemons:
        yield daemons


@pytest.fixture
def storage(spark: SparkSession) -> Storage:
    """Files through a client that gives up soon."""
    given = spark._jsc.hadoopConfiguration()
    given.set("ipc.client.connect.max.retries", "0")
    given.set("dfs.client.retry.window.base", "10")
    return Storage()


@pytest.mark.parametrize(("error", "heals"), [(JobError("Do this."), False), (TemporaryError("Wait."), True)])
def test_a_sentence_of_the_job_stays_as_it_is(error: JobError, heals: bool) -> None:
    assert explain(error) == Explanation(str(error), heals)
    assert explain(error).exit_code == (1 if heals else 2)


def test_settings_are_named_as_the_variables_that_they_are() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"trigger_seconds": "soon", "max_orders": 0})
    said = explain(caught.value)
    assert "TRIGGER_SECONDS=soon: Input should be a valid number" in said.sentence
    assert "MAX_ORDERS=0: Input should be greater than 0" in said.sentence
    assert "\n" not in str(said) and said.exit_code == 2


def test_a_full_disk_is_told_with_the_command_that_says_more() -> None:
    said = explained(lambda: Path("/dev/full").write_text("x"))
    assert "`df -h`" in said.sentence and said.heals


def test_a_file_of_somebody_else_is_told_by_its_path(tmp_path: Path) -> None:
    said = explain(PermissionError(13, "Permission denied", str(tmp_path / "daily_revenue.csv")))
    assert f"`namei -l {tmp_path}/daily_revenue.csv`" in said.sentence and said.exit_code == 2


def test_an_error_of_java_without_a_sentence_has_its_class_and_words(spark: SparkSession) -> None:
    said = explained(lambda: spark._jvm.java.lang.Integer.parseInt("x"))  # type: ignore[union-attr]
    assert str(said) == 'NumberFormatException: For input string: "x"'
    assert not said.known


def test_an_error_of_java_that_has_a_cause_names_both(spark: SparkSession) -> None:
    rows = spark.range(1).selectExpr("raise_error('no such thing') as x")
    said = explained(rows.collect)
    assert "no such thing" in str(said) and "o.collect" not in str(said) and "An error occurred" not in str(said)


def test_an_error_of_sql_has_its_own_words(spark: SparkSession) -> None:
    with pytest.raises(AnalysisException) as caught:
        spark.sql("select nothing from nowhere")
    said = str(explain(caught.value))
    assert said.startswith("ExtendedAnalysisException: [TABLE_OR_VIEW_NOT_FOUND]") and "JVM stacktrace" not in said


def test_a_file_that_went_away_while_it_was_read_is_worth_another_attempt(spark: SparkSession, tmp_path: Path) -> None:
    spark.range(10).write.parquet(str(tmp_path / "rows"))
    rows = spark.read.parquet(str(tmp_path / "rows"))
    for part in (tmp_path / "rows").glob("*.parquet"):
        part.unlink()
    said = explained(lambda: rows.where("id > 1").collect())
    assert said.sentence.startswith("A file went away") and said.heals


def test_safe_mode_is_told_and_worth_another_attempt(storage: Storage, hdfs: Hdfs) -> None:
    hdfs.admin("-safemode", "enter")
    try:
        said = explained(lambda: storage.write_text(f"{hdfs.url}/data/x", "x"))
    finally:
        hdfs.admin("-safemode", "leave")
    assert said.heals and "`hdfs dfsadmin -safemode get`" in said.sentence
    assert said.origin.startswith("SafeModeException: Cannot create file/data/.x.partial. Name node is in safe mode.")


@pytest.mark.parametrize("option", ["-setQuota", "-setSpaceQuota"])
def test_a_quota_is_told_with_its_folder_and_leaves_no_lock(storage: Storage, hdfs: Hdfs, option: str) -> None:
    folder = f"/quota{option}"
    hdfs.make_folder(folder)
    hdfs.admin(option, "1", folder)

    def lock() -> None:
        with hold(storage, f"{hdfs.url}{folder}/lock.json"):
            pass

    said = explained(lock)
    assert f"The quota of {folder} is used up. `hdfs dfs -count -q -h -v {folder}`" in said.sentence
    assert said.exit_code == 2 and "QuotaExceededException" in said.origin
    hdfs.admin(option.replace("set", "clr"), folder)
    lock()


def test_a_right_that_is_missing_is_told_with_user_and_path(spark: SparkSession, hdfs: Hdfs) -> None:
    jvm = spark._jvm
    assert jvm
    hdfs.make_folder("/theirs", mode="700")
    somebody = jvm.org.apache.hadoop.fs.FileSystem.get(
        jvm.java.net.URI(hdfs.url), spark._jsc.hadoopConfiguration(), "somebody"
    )
    said = explained(lambda: somebody.listStatus(jvm.org.apache.hadoop.fs.Path("/theirs")))
    assert "The user somebody lacks READ_EXECUTE on /theirs. `hdfs dfs -ls -d /theirs`" in said.sentence
    assert said.exit_code == 2 and said.origin.startswith("AccessControlException: Permission denied")


def test_a_namenode_in_standby_is_told_and_worth_another_attempt(storage: Storage, hdfs: Hdfs) -> None:
    with hdfs.standby() as url:
        said = explained(lambda: storage.exists(f"{url}/data"))
    assert said.heals and "`hdfs haadmin -getAllServiceState`" in said.sentence
    assert said.origin == "StandbyException: Operation category READ is not supported in state standby. Visit " + (
        "https://s.apache.org/sbnn-error"
    )


def test_a_missing_datanode_is_told_to_readers_and_writers(storage: Storage, hdfs: Hdfs) -> None:
    hdfs.put("/data/kept", b"content")
    hdfs.stop(DATANODE)
    said = explained(lambda: storage.write_text(f"{hdfs.url}/data/x", "x"))
    assert said.heals and "no DataNode takes a block" in said.sentence and "dfsadmin -report" in said.sentence
    assert "could only be written to 0 of the 1 minReplication nodes" in said.origin
    said = explained(lambda: storage.read_text(f"{hdfs.url}/data/kept"))
    assert said.heals and "`sudo -u hdfs hdfs fsck /data/kept -files -blocks -locations`" in said.sentence


def test_a_namenode_that_goes_away_is_told_with_its_address(storage: Storage, hdfs: Hdfs) -> None:
    storage.exists(f"{hdfs.url}/data")
    hdfs.stop(NAMENODE)
    port = hdfs.url.rsplit(":", 1)[1]
    # First the open connection ends, then no new one comes about.
    for kind in ("EOFException", "ConnectException"):
        said = explained(lambda: storage.exists(f"{hdfs.url}/data"))
        assert said.heals and f"localhost:{port} does not answer" in said.sentence
        assert said.origin.startswith(kind)


def test_a_failure_is_in_the_report_and_an_unwritable_report_hides_it_not(tmp_path: Path) -> None:
    with pytest.raises(JobError), Report().on_failure(tmp_path / "last_run.json"):
        raise JobError("Do this.")
    report = json.loads((tmp_path / "last_run.json").read_text())
    assert (report["result"], report["message"]) == ("failed", "Do this.") and report["finished"]
    (tmp_path / "file").touch()
    with pytest.raises(JobError, match="Do this"), Report().on_failure(tmp_path / "file" / "last_run.json"):
        raise JobError("Do this.")


@pytest.mark.parametrize(
    ("environment", "sentence", "code"),
    [
        ({"USE_HDFS": "false", "TRIGGER_SECONDS": "soon"}, "TRIGGER_SECONDS=soon", 2),
        ({"USE_HDFS": "true"}, "no HDFS is configured: set HADOOP_CONF_DIR", 2),
        (
            {"HADOOP_CONF_DIR": "conf", "WAIT_SECONDS": "0"},
            "HDFS is not reachable (127.0.0.1:1)",
            1,
        ),
    ],
)
def test_what_fails_before_the_session_starts_is_in_the_report(
    environment: dict[str, str], sentence: str, code: int, tmp_path: Path
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "core-site.xml").write_text(
        "<configuration><property><name>fs.defaultFS</name><value>hdfs://127.0.0.1:1</value></property></configuration>"
    )
    done = subprocess.run(
        [sys.executable, "-m", "retail_jobs.batch"], cwd=tmp_path, env={"PYTHONPATH": JOBS_PATH, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    report = json.loads((tmp_path / "data/output/last_run.json").read_text())
    assert report["result"] == "failed" and sentence in report["message"]
    assert sentence in done.stdout and "Traceback" not in done.stdout + done.stderr
