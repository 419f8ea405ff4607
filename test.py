"""Super-resolution, with the command line of the reference program: `python test.py -h`."""

import sys

from arssr.compat.test import main

if __name__ == "__main__":
    sys.exit(main())
