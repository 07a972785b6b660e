"""`python -m modnas_agent`."""

import sys

from modnas_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
