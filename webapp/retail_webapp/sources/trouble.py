"""What a source that cannot be read has met, in a few words, and the command that says more."""

import re

LONGEST = 200
NO_ANSWER = "no answer"
REMOTE_ERROR = re.compile(r'RPCError\("[\w.]*?(\w+)", "(.*?)(?:\\n|"\)$)')
NO_DATANODE = re.compile(r"DataTransferError|BlockMissing")
MORE = {
    re.compile(r'AccessControlException: .*inode="(?P<path>[^"]+)"'): "`hdfs dfs -ls -d {path}` shows owner and mode",
    re.compile("no DataNode"): "`sudo -u hdfs hdfs dfsadmin -report` lists those that are there",
    re.compile("no answer|StandbyException"): "`systemctl status hdfs-namenode` on its host says more",
}
"""By what is wrong with HDFS, the command that says more."""


def reason(error: Exception) -> str:
    """The first line of an error, short enough for a notice."""
    text = str(error).strip() or type(error).__name__
    # The HDFS client gives the class, and the whole stack of the NameNode in the same string.
    if remote := REMOTE_ERROR.match(text):
        return f"{remote[1]}: {remote[2]}".replace('\\"', '"')[:LONGEST]
    if NO_DATANODE.match(text):
        return "no DataNode gives its blocks"  # the client tells all that it knows of each
    return text.splitlines()[0][:LONGEST]


def more(product: str, wrong: str) -> str:
    """The command that says more about what is wrong, as a sentence after a space; empty when there is none."""
    if product == "HDFS":
        for pattern, command in MORE.items():
            if found := pattern.search(wrong):
                return f" {command.format(**found.groupdict())}."
    return ""
