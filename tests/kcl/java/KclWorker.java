import java.io.FileWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Field;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.LeaseCleanupConfig;
import software.amazon.kinesis.common.StreamIdentifier;
import software.amazon.kinesis.coordinator.CoordinatorConfig;
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
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.KinesisClientRecord;
import software.amazon.kinesis.retrieval.RetrievalConfig;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/**
 * A plain application of the Kinesis Client Library, 2.x or 3.x. It appends a line to a file for
 * each record and each event, and saves a checkpoint every 10 records.
 *
 * The arguments are the ports of Kinesis and of DynamoDB, the application, the stream, the id of
 * the worker, the file, and the failover time in milliseconds. SIGTERM stops it gracefully; the end
 * of stdin stops it at once.
 */
public class KclWorker {
    private static final int RECORDS_PER_CHECKPOINT = 10;
    // 2.7.2 waits without end if it holds leases of finished shards.
    private static final long STOP_LIMIT_SECONDS = 8;

    private static final long CLEANUP_MILLIS = 10_000;

    private static FileWriter file;

    private static synchronized void line(String text) {
        try {
            file.write(System.currentTimeMillis() + " " + text + "\n");
            file.flush();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static class Processor implements ShardRecordProcessor {
        private String shard;
        private KinesisClientRecord last;
        private int unsaved;

        @Override
        public void initialize(InitializationInput input) {
            shard = input.shardId();
            line("granted " + shard);
        }

        @Override
        public void processRecords(ProcessRecordsInput input) {
            for (KinesisClientRecord record : input.records()) {
                String data = StandardCharsets.UTF_8.decode(record.data().duplicate()).toString();
                line("record " + shard + " " + record.sequenceNumber() + " " + data);
                last = record;
                unsaved++;
            }
            if (unsaved >= RECORDS_PER_CHECKPOINT) {
                save(input.checkpointer());
            }
        }

        private void save(RecordProcessorCheckpointer checkpointer) {
            if (unsaved == 0) {
                return;
            }
            try {
                checkpointer.checkpoint(last.sequenceNumber(), last.subSequenceNumber());
                unsaved = 0;
            } catch (Exception e) {
                line("unsaved " + shard + " " + e);
            }
        }

        @Override
        public void leaseLost(LeaseLostInput input) {
            line("ended " + shard + " lost");
        }

        @Override
        public void shardEnded(ShardEndedInput input) {
            try {
                input.checkpointer().checkpoint();
                line("ended " + shard + " finished");
            } catch (Exception e) {
                line("unsaved " + shard + " end " + e);
            }
        }

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {
            save(input.checkpointer());
            line("shutdown " + shard);
        }
    }

    /** Has the rows of ended shards deleted early. The default is 5 minutes, without a setter. */
    private static void cleanUpEarly(LeaseManagementConfig leases) throws Exception {
        Field field = LeaseManagementConfig.class.getDeclaredField("leaseCleanupConfig");
        field.setAccessible(true);
        field.set(leases, LeaseCleanupConfig.builder()
            .leaseCleanupIntervalMillis(CLEANUP_MILLIS)
            .completedLeaseCleanupIntervalMillis(CLEANUP_MILLIS)
            .garbageLeaseCleanupIntervalMillis(30 * 60_000L).build());
    }

    /** Sets what only KCL 3.x has. */
    private static void set3x(LeaseManagementConfig leases) throws Exception {
        try {
            Object config = leases.getClass().getMethod("workerUtilizationAwareAssignmentConfig")
                .invoke(leases);
            // The metrics would come from EC2.
            config.getClass().getMethod("disableWorkerMetrics", boolean.class).invoke(config, true);
        } catch (NoSuchMethodException e) {
            line("event this is KCL 2.x");
        }
    }

    public static void main(String[] args) throws Exception {
        String application = args[2], stream = args[3], worker = args[4];
        file = new FileWriter(args[5], true);
        long failover = Long.parseLong(args[6]);
        AwsCredentialsProvider credentials =
            StaticCredentialsProvider.create(AwsBasicCredentials.create("x", "x"));
        URI kinesisUrl = URI.create("http://127.0.0.1:" + args[0]);
        URI dynamoUrl = URI.create("http://127.0.0.1:" + args[1]);
        KinesisAsyncClient kinesis = KinesisAsyncClient.builder().region(Region.US_EAST_1)
            .endpointOverride(kinesisUrl).credentialsProvider(credentials)
            .httpClientBuilder(NettyNioAsyncHttpClient.builder().protocol(Protocol.HTTP1_1))
            .build();
        DynamoDbAsyncClient dynamo = DynamoDbAsyncClient.builder().region(Region.US_EAST_1)
            .endpointOverride(dynamoUrl).credentialsProvider(credentials).build();
        CloudWatchAsyncClient cloudWatch = CloudWatchAsyncClient.builder().region(Region.US_EAST_1)
            .endpointOverride(dynamoUrl).credentialsProvider(credentials).build();
        InitialPositionInStreamExtended start = InitialPositionInStreamExtended
            .newInitialPosition(InitialPositionInStream.TRIM_HORIZON);
        ConfigsBuilder configs = new ConfigsBuilder(
            new SingleStreamTracker(StreamIdentifier.singleStreamInstance(stream), start),
            application, kinesis, dynamo, cloudWatch, worker, Processor::new);
        LeaseManagementConfig leases =
            configs.leaseManagementConfig().failoverTimeMillis(failover);
        CoordinatorConfig coordinator =
            configs.coordinatorConfig().parentShardPollIntervalMillis(1000);
        cleanUpEarly(leases);
        set3x(leases);
        MetricsConfig metrics = configs.metricsConfig().metricsFactory(new NullMetricsFactory())
            .metricsLevel(MetricsLevel.NONE);
        PollingConfig polling = new PollingConfig(stream, kinesis);
        polling.idleTimeBetweenReadsInMillis(250);
        RetrievalConfig retrieval = configs.retrievalConfig().retrievalSpecificConfig(polling);
        Scheduler scheduler = new Scheduler(configs.checkpointConfig(), coordinator, leases,
            configs.lifecycleConfig(), metrics, configs.processorConfig(), retrieval);
        Thread running = new Thread(scheduler, "scheduler");
        running.setDaemon(true);
        running.start();
        line("started");
        Thread stdin = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {}
            } catch (IOException e) {
                // It ends all the same.
            }
            Runtime.getRuntime().halt(1);
        });
        stdin.setDaemon(true);
        stdin.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            String end;
            try {
                end = scheduler.startGracefulShutdown().get(STOP_LIMIT_SECONDS, TimeUnit.SECONDS)
                    .toString();
            } catch (Exception e) {
                end = e.toString();
            }
            line("stopped " + end);
            Runtime.getRuntime().halt(0);
        }));
        running.join();
        line("event the scheduler has ended");
    }
}
