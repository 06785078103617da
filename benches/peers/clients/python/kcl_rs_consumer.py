"""An application of kcl-rs that saves a checkpoint every five seconds."""

import json
import os
import sys
import threading
import time

from kcl_rs import RecordProcessorBase, Scheduler

SHARDS = int(os.environ["SHARDS"])
SECONDS_PER_CHECKPOINT = 5


class Meter:
    """Counts the records after a warm-up, and the time that they take.

    It counts page by page: a page that reaches the limit is counted whole.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.open_shards = 0
        self.measuring = False
        self.reset(os.environ["WARM_UP_RECORDS"])

    def reset(self, limit):
        self.limit = int(limit)
        self.records = self.bytes = self.checksum = 0
        self.start = time.monotonic()
        self.processor_start = time.process_time()

    def open_shard(self):
        with self.lock:
            self.open_shards += 1

    def close_shard(self):
        with self.lock:
            self.open_shards -= 1

    def count(self, records):
        count = size = checksum = 0
        for record in records:
            data = record.data
            count += 1
            size += len(data)
            checksum += data[0] + data[len(data) // 2] + data[-1]
        with self.lock:
            # The worker takes its leases one after the other: those first taken do not count yet.
            if self.open_shards < SHARDS:
                return
            self.records += count
            self.bytes += size
            self.checksum += checksum
            if self.records >= self.limit:
                self.reach_limit()

    def reach_limit(self):
        if not self.measuring:
            self.measuring = True
            self.reset(os.environ["MEASURED_RECORDS"])
            return
        result = {
            "records": self.records,
            "bytes": self.bytes,
            "checksum": self.checksum,
            "seconds": time.monotonic() - self.start,
            "processor_seconds": time.process_time() - self.processor_start,
        }
        print(json.dumps(result), flush=True)
        sys.stdin.read()  # until then, the driver reads how much memory the process has used
        os._exit(0)


METER = Meter()


class Processor(RecordProcessorBase):
    last_checkpoint = time.monotonic()

    def initialize(self, initialization):
        METER.open_shard()

    def process_records(self, batch):
        METER.count(batch.records)
        if time.monotonic() - self.last_checkpoint > SECONDS_PER_CHECKPOINT:
            batch.checkpointer.checkpoint()
            self.last_checkpoint = time.monotonic()

    def lease_lost(self, lost):
        METER.close_shard()

    def shard_ended(self, ended):
        pass

    def shutdown_requested(self, request):
        pass


scheduler = Scheduler(
    stream_name="orders",
    worker_identifier="worker",
    application_name="kcl-rs",
    record_processor_factory=Processor,
    region="us-east-1",
    initial_position="TRIM_HORIZON",
    retrieval_mode="POLLING",
    max_records=10_000,
    idle_time_between_reads_millis=0,
)
scheduler.start()
threading.Event().wait()
