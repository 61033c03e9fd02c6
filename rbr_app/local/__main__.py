"""``python -m rbr_app.local status``: what runs for this ``RBR_HOME``, and for whom."""

from __future__ import annotations

import json
import sys

from . import paths
from .client import status


def main(arguments: list[str]) -> int:
    if arguments not in (["status"], ["status", "--json"]):
        print("usage: python -m rbr_app.local status [--json]", file=sys.stderr)
        return 2
    found = status()
    if arguments[1:]:
        print(json.dumps(found, indent=2))
    elif found is None:
        print(f"nothing runs for {paths.home()}")
    else:
        print(f"supervisor {found['pid']} of {found['home']}")
        for row in found["services"]:
            holders = ", ".join(f"{h['pid']} ({h['command']})" for h in row["holders"])
            again = f", restarted {row['restarts']}x" if row["restarts"] else ""
            print(f"{row['service']:13} {row['pid']} {row['state']}{again} {row['address']}")
            print(f"{'':13} held by {holders or 'nobody'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
