"""Entry point of ``python3 -m rivulet_testbed``."""

import sys

from rivulet_testbed.cli import main

sys.exit(main(sys.argv[1:]))
