"""``python -m mindleak``, and the command that is installed."""

from __future__ import annotations

import os
import sys


def run() -> int:
    """Run the command line; return its exit code, or end the process where the command was interrupted.

    MindSpore, cut off in the middle of something, may wait at exit for what never comes, or abort with a page of its
    own. Everything of ours has been put in order by then.
    """
    try:
        from mindleak.cli import main
    except KeyboardInterrupt:
        sys.stderr.write("mindleak: interrupted\n")
        os._exit(130)
    code = main()
    if code == 130:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                continue
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(run())
