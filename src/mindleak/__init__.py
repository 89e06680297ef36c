"""mindleak: privacy and robustness audit of image classifiers on MindSpore."""

__version__ = "0.1.0"

import os

# MindSpore reads its log level once, when it is imported: errors only, unless the user asked for more.
os.environ.setdefault("GLOG_v", "3")
