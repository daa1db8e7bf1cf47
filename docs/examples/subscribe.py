"""Print verdicts as they come; stop when the station is not heard any more."""

import sys

from pipeline.client import Message, ResultSubscriber
from pipeline.messages import ResultHeader
from pipeline.stream_check import Gap, Stale

with ResultSubscriber(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5550") as subscriber:
    for item in subscriber:
        if isinstance(item, Message) and isinstance(item.header, ResultHeader) and not item.expired:
            print(item.header.part_id, item.header.disposition, item.header.score, flush=True)
        elif isinstance(item, Gap):
            print("lost", item.stream, item.first, "to", item.last, flush=True)
        elif isinstance(item, Stale):
            sys.exit("No status from the station: treat every part as rejected.")
