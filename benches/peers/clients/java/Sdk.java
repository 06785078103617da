import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.GetRecordsResponse;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.model.Shard;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;

/** The SDK alone: a loop over GetRecords for each shard, in its own thread. */
public final class Sdk {
    /** Creates a client for HTTP/1.1: the server has no HTTP/2. */
    static KinesisAsyncClient client() {
        return KinesisAsyncClient.builder()
            .httpClientBuilder(NettyNioAsyncHttpClient.builder().protocol(Protocol.HTTP1_1))
            .build();
    }

    public static void main(String[] args) {
        KinesisAsyncClient kinesis = client();
        Meter meter = new Meter();
        for (Shard shard : kinesis.listShards(r -> r.streamName("orders")).join().shards()) {
            new Thread(() -> read(kinesis, shard.shardId(), meter)).start();
        }
    }

    private static void read(KinesisAsyncClient kinesis, String shardId, Meter meter) {
        String start = kinesis.getShardIterator(r -> r.streamName("orders").shardId(shardId)
            .shardIteratorType(ShardIteratorType.TRIM_HORIZON)).join().shardIterator();
        for (String next = start; next != null; ) {
            String iterator = next;
            GetRecordsResponse page =
                kinesis.getRecords(r -> r.shardIterator(iterator).limit(10_000)).join();
            synchronized (meter) {
                for (Record record : page.records()) {
                    meter.count(record.data().asByteBuffer());
                }
            }
            next = page.nextShardIterator();
        }
    }
}
