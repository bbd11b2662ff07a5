#!/usr/bin/env python3
"""`drill` on the edge host: asks the desk on the control machine, and prints what it answers as it comes.

Goes to the host alone, so it knows nothing of this package. A request is a line of JSON, and so is each piece of the
answer; the last one has the exit code and is acknowledged, so that no verdict is lost.
"""

import json
import socket
import sys

SOCKET = "/run/shopfloor/desk"
CLOSED = "No desk is open: `make desk`, typed on the machine where the cluster was made, opens one."
LEFT = "\nThe connection has ended; the desk goes on, and the next `drill` begins with its answer."


def main() -> None:
    """Ask what was typed; ends with the exit code of the answer."""
    with socket.socket(socket.AF_UNIX) as desk:
        try:
            desk.connect(SOCKET)
        except OSError:
            sys.exit(CLOSED)
        try:
            with desk.makefile("rw", encoding="utf-8") as lines:
                print(json.dumps(sys.argv[1:]), file=lines, flush=True)
                for line in lines:
                    answer = json.loads(line)
                    if "code" in answer:
                        print(file=lines, flush=True)
                        sys.exit(answer["code"])
                    print(answer["text"], end="", flush=True)
        except (OSError, KeyboardInterrupt):
            pass
    sys.exit(LEFT)


if __name__ == "__main__":
    main()
