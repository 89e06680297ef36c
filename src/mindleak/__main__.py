"""``python -m mindleak``."""

import sys

from mindleak.cli import main

if __name__ == "__main__":
    sys.exit(main())
