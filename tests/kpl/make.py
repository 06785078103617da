"""Makes the aggregated records of this folder with AWS's own aggregator for Python.

    pip install aws-kinesis-agg==1.2.3 six && python make.py
"""

from aws_kinesis_agg.aggregator import RecordAggregator

def aggregated(name, records):
    aggregator = RecordAggregator()
    for record in records:
        assert aggregator.add_user_record(*record) is None, "it is full"
    with open(name, "wb") as file:
        file.write(aggregator.clear_and_get().get_contents()[2])

# The partition key, the data, and the explicit hash key if there is one.
aggregated("three.bin", [
    ("customer 1", b"first"),
    ("customer 2", b"second", "0"),
    ("customer 1", b"third", str(2**128 - 1)),
])
aggregated("odd.bin", [
    ("clé – 鍵", "naïve – 記録".encode()),
    ("k" * 256, b""),
    ("customer 3", bytes(range(256)) * 100),
])
aggregated("many.bin", [(f"customer {n % 10}", b"%d" % n) for n in range(1000)])

# The format has tags, but neither a producer nor the aggregator writes them: the message is built
# from the aggregator's classes.
from hashlib import md5

from aws_kinesis_agg import MAGIC
from aws_kinesis_agg.messages_pb2 import AggregatedRecord

message = AggregatedRecord(partition_key_table=["customer 1", "customer 2"])
first = message.records.add(partition_key_index=1, data=b"first")
first.tags.add(key="colour", value="red")
first.tags.add(key="no value")
message.records.add(partition_key_index=0, data=b"second")
packed = message.SerializeToString()
with open("tagged.bin", "wb") as file:
    file.write(MAGIC + packed + md5(packed).digest())
