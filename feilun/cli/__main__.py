"""`python -m feilun.cli`."""

import sys

from feilun.cli import main

if __name__ == "__main__":
    sys.exit(main())
