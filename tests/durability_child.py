"""Writers that are killed: `python tests/durability_child.py HOME '{"writer": next number, ...}' COUNT`, a thread a writer.

Each event that was acknowledged is said on standard output as "writer number id", and not before.
"""

import json
import sys
import threading
from pathlib import Path

from feilun.store import FeedbackRequest, Store


def main(home: str, begin: str, count: str) -> None:
    store, told = Store.open(Path(home)), threading.Lock()

    def write(writer: str, first: int) -> None:
        for number in range(first, int(count)):
            key = f"{writer}/{number}"
            result = store.record_feedback(
                FeedbackRequest(principal="p", target_id="c1", kind="comment", value=key, idempotency_key=key),
            )
            with told:
                print(writer, number, result.id, flush=True)

    threads = [threading.Thread(target=write, args=item) for item in json.loads(begin).items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
