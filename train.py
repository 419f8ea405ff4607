"""Training, with the command line of the reference program: `python train.py -h`."""

import sys

from arssr.compat.train import main

if __name__ == "__main__":
    sys.exit(main())
