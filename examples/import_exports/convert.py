"""Print the events of stored calls: `gzip -dc FILE... | python convert.py > events.ndjson`."""

import json
import sys

from walker_collector import EventError, segment

NAMES = {"Signed Up": "user register"}

for number, line in enumerate(sys.stdin, start=1):
    try:
        print(json.dumps(segment.from_call(json.loads(line), names=NAMES)))
    except (ValueError, EventError) as error:
        print(f"line {number}: {error}", file=sys.stderr)
