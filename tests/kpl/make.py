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
