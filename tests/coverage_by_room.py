"""How much of each room a run of tests has gone through, as a table: `make coverage`.

In: what `coverage run` has kept. Out: lines and branches by room. Knows no test, and judges no figure.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]


def by_room(files: dict[str, dict[str, dict[str, int]]]) -> dict[str, Counter[str]]:
    """Sum up the files of each room, and of all."""
    rooms: dict[str, Counter[str]] = {}
    for name, file in files.items():
        parts = Path(name).parts
        room = parts[1] if parts[0] == "workers" and len(parts) > 2 else parts[0]
        for there in (room, "all"):
            rooms.setdefault(there, Counter()).update(file["summary"])
    return rooms


def main() -> None:
    """Print the table."""
    command = [Path(sys.executable).with_name("coverage"), "json", "--quiet", "-o", "-"]
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    rooms = by_room(json.loads(told)["files"])
    print("| room | lines | run | branches | run |\n|---|---:|---:|---:|---:|")
    for room in sorted(rooms, key=lambda room: (room == "all", room)):
        one = rooms[room]
        lines, branches = one["num_statements"], one["num_branches"]
        shares = f"{one['covered_lines'] / max(lines, 1):.0%}", f"{one['covered_branches'] / max(branches, 1):.0%}"
        print(f"| {room} | {lines:,} | {shares[0]} | {branches:,} | {shares[1]} |")


if __name__ == "__main__":
    main()
