"""`python -m wrinkle`."""

import sys

from wrinkle.cli import main

sys.exit(main())
