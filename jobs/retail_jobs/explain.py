"""What an error means, for humans: what is wrong, what to do, and the command that says more.

A Java error arrives as a chain: Spark's exception, what caused it, and what the NameNode said to that. The first row of
`RULES` that fits any of them gives the sentence; a new error is a row there. An error without a row is told by its own
class and message.
"""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
from pydantic import ValidationError
from pyspark.errors import PySparkException

from retail_jobs.errors import JobError
from retail_jobs.executors import LOST

LONGEST_MESSAGE = 300
MOST_CAUSES = 20


@dataclass(frozen=True)
class Explanation:
    """An error in a human's words."""

    sentence: str
    """What is wrong, what to do, and the command that says more."""

    heals: bool
    """Whether a later attempt may succeed without anybody's help."""

    origin: str = ""
    """Class and first line of the error itself, when the sentence does not have them."""

    known: bool = True
    """Whether somebody thought of this error; of others, only the stack trace says more."""

    def __str__(self) -> str:
        return f"{self.sentence} ({self.origin})" if self.origin else self.sentence

    @property
    def exit_code(self) -> int:
        """1: try again later. 2: that would not help, a human is needed."""
        return 1 if self.heals else 2


@dataclass(frozen=True)
class Cause:
    """One link in the chain of an error."""

    kind: str
    """Name of its class, without the package."""

    message: str
    condition: str = ""
    """Spark's name of the error, empty for errors of others."""

    def __str__(self) -> str:
        line = self.message.split("\n", 1)[0]  # a stack trace is below it, as a rule
        line = line if len(line) <= LONGEST_MESSAGE else f"{line[:LONGEST_MESSAGE]} ..."
        return f"{self.kind}: {line}" if line else self.kind


@dataclass(frozen=True)
class Rule:
    """A sentence for errors of a kind."""

    sentence: str
    """May use the named groups of `says`."""

    heals: bool
    kinds: tuple[str, ...] = ()
    """Names of Java classes, or Spark's conditions; empty for every one."""

    says: str = ""
    """What the message must have; a regular expression."""

    def explain(self, cause: Cause) -> str | None:
        """The sentence for an error; None when it is of another kind."""
        if self.kinds and not {cause.kind, cause.condition}.intersection(self.kinds):
            return None
        found = re.search(self.says, cause.message)
        return self.sentence.format(**found.groupdict()) if found else None


RULES = (
    Rule(
        "HDFS is in safe mode and takes no changes. After a start it leaves that by itself when enough DataNodes have "
        "reported; `hdfs dfsadmin -safemode get` says how it stands, and `sudo -u hdfs hdfs dfsadmin -safemode leave` "
        "ends what somebody entered by hand",
        heals=True,
        kinds=("SafeModeException",),
    ),
    Rule(
        "The NameNode that was asked is in standby. `hdfs haadmin -getAllServiceState` says which one is active; when "
        "none is, see `journalctl -u hdfs-namenode` on their hosts",
        heals=True,
        kinds=("StandbyException",),
    ),
    Rule(
        "The user {user} lacks {access} on {path}. `hdfs dfs -ls -d {path}` shows owner and mode; "
        "`sudo -u hdfs hdfs dfs -chown {user} {path}` gives it to that user",
        heals=False,
        kinds=("AccessControlException",),
        says=r'user=(?P<user>[^,]+), access=(?P<access>\w+), inode="(?P<path>[^"]+)"',
    ),
    Rule(
        "HDFS refuses this user. `hdfs dfs -ls -R /data` shows owners and modes",
        heals=False,
        kinds=("AccessControlException",),
    ),
    Rule(
        "The quota of {path} is used up. `hdfs dfs -count -q -h -v {path}` says by how much; delete something there, "
        "or raise the quota with `sudo -u hdfs hdfs dfsadmin -setSpaceQuota` (bytes) or `-setQuota` (names)",
        heals=False,
        kinds=("DSQuotaExceededException", "NSQuotaExceededException"),
        says=r"quota.*? of (?:directory )?(?P<path>/\S*) is exceeded",
    ),
    Rule(
        "HDFS cannot be written: no DataNode takes a block, because their disks are full or they do not run. "
        "`sudo -u hdfs hdfs dfsadmin -report` says how much is left on each; see `systemctl status hdfs-datanode` on "
        "their hosts",
        heals=True,
        says=r"could only be written to 0 of|All datanodes .* are bad",
    ),
    Rule(
        "{path} cannot be read: no DataNode that is there has one of its blocks. `sudo -u hdfs hdfs fsck {path} -files "
        "-blocks -locations` says which block, `sudo -u hdfs hdfs dfsadmin -report` which DataNodes are missing",
        heals=True,
        kinds=("BlockMissingException",),
        says=r"file=(?P<path>\S+)",
    ),
    Rule(
        "HDFS is not reachable: {address} does not answer. See `systemctl status hdfs-namenode` there",
        heals=True,
        says=r"[Ff]rom \S+ to (?P<address>\S+) failed on",
    ),
    Rule(
        "HDFS is not reachable: {host}:{port} does not answer. See `systemctl status hdfs-namenode` there",
        heals=True,
        says=r'destination host is: "(?P<host>[^"]+)":(?P<port>\d+)',
    ),
    Rule(
        "A file went away or was replaced while it was read. `hdfs dfs -ls -R /data/input` shows what is there now",
        heals=True,
        kinds=("FAILED_READ_FILE.FILE_NOT_EXIST",),
    ),
    Rule(
        "The Spark master does not answer. See `systemctl status spark-master` on its host",
        heals=True,
        # The second is what is left of the first when the session was still being made.
        says="All masters are unresponsive|getServletHandlers on a running MetricsSystem",
    ),
    Rule(
        LOST,
        heals=True,
        # Nobody else cancels all jobs of an application.
        says="as part of cancellation of all jobs",
    ),
    Rule(
        "A disk of {host} is full. `df -h` there says which one; free some space",
        heals=True,
        says=r"\((?P<host>\S+) executor [^)]*\): .*No space left on device",
    ),
    Rule(
        "A disk of this host is full. `df -h` says which one; free some space",
        heals=True,
        says="No space left on device",
    ),
)

OF_FILES = {
    errno.EACCES: "This user may not use {path}. `namei -l {path}` shows owners and modes",
    errno.EPERM: "This user may not change {path}. `namei -l {path}` shows owners and modes",
    errno.EROFS: "{path} is read-only. `findmnt -T {path}` says on which file system it is",
}
"""What the operating system says of a local file."""


def explain(error: BaseException) -> Explanation:
    """Say in a human's words what an error means."""
    match error:
        case JobError():
            return Explanation(str(error), error.heals)
        case ValidationError():
            return Explanation(_wrong_settings(error), heals=False)
        case Py4JNetworkError():
            return Explanation(
                "Spark's own process has ended. `journalctl -k | grep -i oom` says whether the memory ran out",
                heals=True,
            )
        case OSError(errno=number, filename=path) if number in OF_FILES and path:
            return Explanation(OF_FILES[number].format(path=path), heals=False)
    causes = list(_causes(error))
    for rule in RULES:
        for cause in causes:
            if sentence := rule.explain(cause):
                return Explanation(sentence, rule.heals, str(cause))
    # The last cause is the reason; those before it failed because of it.
    because = f", because of {causes[-1]}" if len(causes) > 1 else ""
    return Explanation(f"{causes[0]}{because}", heals=True, known=False)


def _causes(error: BaseException) -> list[Cause]:
    java = error.java_exception if isinstance(error, Py4JJavaError) else getattr(error, "_origin", None)
    if java is None:
        condition = error.getCondition() if isinstance(error, PySparkException) else ""
        return [Cause(type(error).__name__, str(error).strip(), condition or "")]
    causes: list[Cause] = []
    while java is not None and len(causes) < MOST_CAUSES:
        causes.append(_of_java(java))
        java = java.getCause()
    return causes


def _of_java(java: Any) -> Cause:  # noqa: ANN401 - an object of the JVM
    kind, condition = str(java.getClass().getName()), ""
    if kind == "org.apache.hadoop.ipc.RemoteException":
        kind = str(java.getClassName())
    with suppress(Py4JError):  # not every class of Spark's has a condition
        condition = str(java.getCondition() or "") if kind.startswith("org.apache.spark.") else ""
    return Cause(re.split(r"[.$]", kind)[-1], str(java.getMessage() or "").strip(), condition)


def _wrong_settings(error: ValidationError) -> str:
    wrong = []
    for problem in error.errors():
        name = "_".join(map(str, problem["loc"])).upper()
        wrong.append(f"{name}={problem['input']}: {problem['msg']}" if name else problem["msg"])
    return f"Settings cannot be used ({'; '.join(wrong)}): correct these variables in the job's environment"
