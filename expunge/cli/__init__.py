"""The command `expunge`. Machine output goes to stdout, everything else to stderr.

Exit codes follow osv-scanner's: 0 done or not affected, 1 affected or not verified, 2 usage, 3 undetermined,
127 another error, 128 nothing was scanned.
"""

from expunge.cli.commands import main

__all__ = ["main"]
