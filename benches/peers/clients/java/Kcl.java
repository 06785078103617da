import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.StreamIdentifier;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.leases.LeaseManagementConfig;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.MetricsConfig;
import software.amazon.kinesis.metrics.MetricsLevel;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.KinesisClientRecord;
import software.amazon.kinesis.retrieval.RetrievalConfig;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/** An application of the Kinesis Client Library that saves a checkpoint every five seconds. */
public final class Kcl {
    private static final int SHARDS = Integer.parseInt(System.getenv("SHARDS"));
    private static final long NANOS_PER_CHECKPOINT = TimeUnit.SECONDS.toNanos(5);

    private static final Meter meter = new Meter();
    private static final AtomicInteger openShards = new AtomicInteger();

    private static final class Processor implements ShardRecordProcessor {
        private long lastCheckpoint = System.nanoTime();

        @Override
        public void initialize(InitializationInput input) {
            openShards.incrementAndGet();
        }

        @Override
        public void processRecords(ProcessRecordsInput input) {
            // The worker takes its leases one after the other: those first taken do not count yet.
            if (openShards.get() == SHARDS) {
                synchronized (meter) {
                    for (KinesisClientRecord record : input.records()) {
                        meter.count(record.data());
                    }
                }
            }
            if (System.nanoTime() - lastCheckpoint > NANOS_PER_CHECKPOINT) {
                try {
                    input.checkpointer().checkpoint();
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
                lastCheckpoint = System.nanoTime();
            }
        }

        @Override
        public void leaseLost(LeaseLostInput input) {
            openShards.decrementAndGet();
        }

        @Override
        public void shardEnded(ShardEndedInput input) {}

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {}
    }

    public static void main(String[] args) {
        KinesisAsyncClient kinesis = Sdk.client();
        InitialPositionInStreamExtended start = InitialPositionInStreamExtended
            .newInitialPosition(InitialPositionInStream.TRIM_HORIZON);
        ConfigsBuilder configs = new ConfigsBuilder(
            new SingleStreamTracker(StreamIdentifier.singleStreamInstance("orders"), start),
            "kcl", kinesis, DynamoDbAsyncClient.create(), CloudWatchAsyncClient.create(),
            "worker", Processor::new);
        LeaseManagementConfig leases = configs.leaseManagementConfig();
        // The metrics would come from EC2.
        leases.workerUtilizationAwareAssignmentConfig().disableWorkerMetrics(true);
        MetricsConfig metrics = configs.metricsConfig()
            .metricsFactory(new NullMetricsFactory()).metricsLevel(MetricsLevel.NONE);
        PollingConfig polling = new PollingConfig("orders", kinesis).maxRecords(10_000);
        polling.idleTimeBetweenReadsInMillis(0);
        RetrievalConfig retrieval = configs.retrievalConfig().retrievalSpecificConfig(polling);
        new Scheduler(configs.checkpointConfig(), configs.coordinatorConfig(), leases,
            configs.lifecycleConfig(), metrics, configs.processorConfig(), retrieval).run();
    }
}
