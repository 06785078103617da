import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.PrintWriter;
import java.math.BigDecimal;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Instant;
import java.util.HexFormat;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.core.retry.RetryPolicy;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.*;
import software.amazon.awssdk.thirdparty.jackson.dataformat.cbor.CBORFactory;
import software.amazon.awssdk.thirdparty.jackson.dataformat.cbor.CBORGenerator;

/**
 * Writes the requests that the SDK for Java sends, and responses with what that SDK reads in them.
 * The responses are written by its own CBOR generator, or by hand where a server writes otherwise.
 */
public final class Vectors {
    static final HexFormat HEX = HexFormat.of();
    static final Instant TIME = Instant.ofEpochMilli(1764100000123L);
    static final String ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
    static final String SEQUENCE = "49590338271490256608559692538361571095921575989136588898";

    /** The last request, and the response to the next. */
    static String target = "";
    static byte[] request = {};
    static byte[] response = {(byte) 0xa0};
    static int status = 200;
    static String errorType;

    static PrintWriter out;

    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.createContext("/", exchange -> {
            request = exchange.getRequestBody().readAllBytes();
            String type = exchange.getRequestHeaders().getFirst("Content-Type");
            if (!"application/x-amz-cbor-1.1".equals(type)) {
                throw new IllegalStateException("the request is " + type);
            }
            target = exchange.getRequestHeaders().getFirst("X-Amz-Target").split("\\.")[1];
            exchange.getResponseHeaders().set("Content-Type", type);
            exchange.getResponseHeaders().set("x-amzn-RequestId", "request-1");
            if (errorType != null) {
                exchange.getResponseHeaders().set("x-amzn-ErrorType", errorType);
            }
            exchange.sendResponseHeaders(status, response.length == 0 ? -1 : response.length);
            exchange.getResponseBody().write(response);
            exchange.close();
        });
        server.start();
        KinesisClient client = KinesisClient.builder()
            .endpointOverride(URI.create("http://127.0.0.1:" + server.getAddress().getPort()))
            .region(Region.US_EAST_1)
            .credentialsProvider(
                StaticCredentialsProvider.create(AwsBasicCredentials.create("key", "secret")))
            .httpClient(UrlConnectionHttpClient.create())
            .overrideConfiguration(c -> c.retryPolicy(RetryPolicy.none()))
            .build();
        try {
            out = new PrintWriter(Path.of(arguments[0], "requests.txt").toFile());
            out.println("# Written by java/Vectors.java: the name, the operation, the body.");
            requests(client);
            out.close();
            out = new PrintWriter(Path.of(arguments[0], "responses.txt").toFile());
            out.println("# Written by java/Vectors.java: the name, the operation, the status, the"
                + " header x-amzn-errortype,");
            out.println("# the body, and what the SDK for Java reads in it.");
            responses(client);
            out.close();
        } finally {
            server.stop(0);
        }
    }

    static void request(String name, Runnable send) {
        response = HEX.parseHex("a0");
        send.run();
        out.println(String.join(" ", name, target, HEX.formatHex(request)));
    }

    static void requests(KinesisClient client) {
        request("list_by_name", () -> client.listShards(r -> r.streamName("orders")));
        request("list_by_arn", () -> client.listShards(r -> r.streamARN(ARN).maxResults(1000)));
        request("list_after", () -> client.listShards(
            r -> r.streamName("orders").exclusiveStartShardId("shardId-000000000007")));
        request("list_from_timestamp", () -> client.listShards(r -> r.streamName("orders")
            .shardFilter(f -> f.type(ShardFilterType.FROM_TIMESTAMP).timestamp(TIME))));
        request("list_next", () -> client.listShards(r -> r.nextToken("a token")));
        request("iterator_trim_horizon", () -> client.getShardIterator(r -> r.streamName("orders")
            .shardId("shardId-000000000000").shardIteratorType(ShardIteratorType.TRIM_HORIZON)));
        request("iterator_after", () -> client.getShardIterator(r -> r.streamARN(ARN)
            .shardId("shardId-000000000000").startingSequenceNumber(SEQUENCE)
            .shardIteratorType(ShardIteratorType.AFTER_SEQUENCE_NUMBER)));
        request("iterator_at_timestamp", () -> client.getShardIterator(r -> r.streamName("orders")
            .shardId("shardId-000000000000").timestamp(TIME)
            .shardIteratorType(ShardIteratorType.AT_TIMESTAMP)));
        request("iterator_before_1970", () -> client.getShardIterator(r -> r.streamName("orders")
            .shardId("shardId-000000000000").timestamp(Instant.ofEpochMilli(-1500))
            .shardIteratorType(ShardIteratorType.AT_TIMESTAMP)));
        request("records", () -> client.getRecords(r -> r.shardIterator("AAAA").limit(10_000)));
        request("records_by_arn", () -> client.getRecords(
            r -> r.shardIterator("A".repeat(300)).limit(23).streamARN(ARN)));
        request("put", () -> client.putRecord(r -> r.streamName("orders").partitionKey("käse")
            .explicitHashKey("0").data(SdkBytes.fromByteArray(new byte[] {0, 1, (byte) 0xff}))));
        request("put_empty", () -> client.putRecord(
            r -> r.streamName("orders").partitionKey("k").data(SdkBytes.fromByteArray(new byte[0]))));
        request("put_many", () -> client.putRecords(r -> r.streamName("orders").records(
            PutRecordsRequestEntry.builder().partitionKey("a")
                .data(SdkBytes.fromUtf8String("first")).build(),
            PutRecordsRequestEntry.builder().partitionKey("b").explicitHashKey("17")
                .data(SdkBytes.fromByteArray(new byte[300])).build())));
        request("summary", () -> client.describeStreamSummary(r -> r.streamName("orders")));
        request("create", () -> client.createStream(r -> r.streamName("orders").shardCount(200)
            .streamModeDetails(d -> d.streamMode(StreamMode.PROVISIONED))));
        request("split", () -> client.splitShard(r -> r.streamName("orders")
            .shardToSplit("shardId-000000000000").newStartingHashKey("1")));
        request("delete", () -> client.deleteStream(
            r -> r.streamName("orders").enforceConsumerDeletion(true)));
    }

    interface Write {
        void to(CBORGenerator cbor) throws Exception;
    }

    static byte[] cbor(Write write) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (CBORGenerator cbor = new CBORFactory().createGenerator(bytes)) {
            write.to(cbor);
        }
        return bytes.toByteArray();
    }

    static void time(CBORGenerator cbor, String name, long millis) throws Exception {
        cbor.writeFieldName(name);
        cbor.writeTag(1);
        cbor.writeNumber(millis);
    }

    static void record(CBORGenerator cbor, int number, byte[] data) throws Exception {
        cbor.writeStartObject();
        cbor.writeStringField("SequenceNumber", SEQUENCE + number);
        time(cbor, "ApproximateArrivalTimestamp", TIME.toEpochMilli() + number);
        cbor.writeBinaryField("Data", data);
        cbor.writeStringField("PartitionKey", "clé " + number);
        cbor.writeStringField("EncryptionType", "KMS");
        cbor.writeEndObject();
    }

    static void range(CBORGenerator cbor, String start, String end) throws Exception {
        cbor.writeObjectFieldStart("HashKeyRange");
        cbor.writeStringField("StartingHashKey", start);
        cbor.writeStringField("EndingHashKey", end);
        cbor.writeEndObject();
    }

    static void shard(CBORGenerator cbor, String id, String parent, String adjacent, String end)
            throws Exception {
        cbor.writeStartObject();
        cbor.writeStringField("ShardId", id);
        if (parent != null) {
            cbor.writeStringField("ParentShardId", parent);
        }
        if (adjacent != null) {
            cbor.writeStringField("AdjacentParentShardId", adjacent);
        }
        range(cbor, "0", "340282366920938463463374607431768211455");
        cbor.writeObjectFieldStart("SequenceNumberRange");
        cbor.writeStringField("StartingSequenceNumber", SEQUENCE);
        if (end != null) {
            cbor.writeStringField("EndingSequenceNumber", end);
        }
        cbor.writeEndObject();
        cbor.writeEndObject();
    }

    static void response(KinesisClient client, String name, String operation, byte[] body) {
        response(client, name, operation, 200, null, body);
    }

    static void response(KinesisClient client, String name, String operation, int code,
            String error, byte[] body) {
        response = body;
        status = code;
        errorType = error;
        String read;
        try {
            read = switch (operation) {
                case "GetRecords" -> read(client.getRecords(r -> r.shardIterator("A")));
                case "GetShardIterator" -> client.getShardIterator(r -> r.streamName("orders")
                    .shardId("shardId-000000000000")
                    .shardIteratorType(ShardIteratorType.LATEST)).shardIterator();
                case "ListShards" -> read(client.listShards(r -> r.streamName("orders")));
                case "DescribeStreamSummary" -> read(client.describeStreamSummary(
                    r -> r.streamName("orders")).streamDescriptionSummary());
                default -> throw new IllegalArgumentException(operation);
            };
        } catch (AwsServiceException e) {
            read = "error " + e.awsErrorDetails().errorCode() + " "
                + e.awsErrorDetails().errorMessage() + " " + e.requestId();
        } catch (SdkException e) {
            read = "unreadable";
        }
        out.println(String.join("\t", name, operation, Integer.toString(code),
            error == null ? "-" : error, HEX.formatHex(body), read));
    }

    static String millis(Instant time) {
        return time == null ? "null" : Long.toString(time.toEpochMilli());
    }

    static String read(GetRecordsResponse page) {
        String records = page.records().stream()
            .map(r -> String.join(",", r.sequenceNumber(), r.partitionKey(),
                millis(r.approximateArrivalTimestamp()), HEX.formatHex(r.data().asByteArray()),
                String.valueOf(r.encryptionTypeAsString())))
            .collect(Collectors.joining(";"));
        String children = !page.hasChildShards() ? "null" : page.childShards().stream()
            .map(c -> c.shardId() + "<" + String.join("+", c.parentShards()) + ","
                + c.hashKeyRange().startingHashKey() + "," + c.hashKeyRange().endingHashKey())
            .collect(Collectors.joining(";"));
        return "[" + records + "] " + page.nextShardIterator() + " " + page.millisBehindLatest()
            + " " + children;
    }

    static String read(ListShardsResponse page) {
        String shards = page.shards().stream()
            .map(s -> String.join(",", s.shardId(), String.valueOf(s.parentShardId()),
                String.valueOf(s.adjacentParentShardId()), s.hashKeyRange().startingHashKey(),
                s.hashKeyRange().endingHashKey(),
                s.sequenceNumberRange().startingSequenceNumber(),
                String.valueOf(s.sequenceNumberRange().endingSequenceNumber())))
            .collect(Collectors.joining(";"));
        return "[" + shards + "] " + page.nextToken();
    }

    static String read(StreamDescriptionSummary stream) {
        return String.join(" ", stream.streamName(), stream.streamStatusAsString(),
            millis(stream.streamCreationTimestamp()), String.valueOf(stream.openShardCount()),
            String.valueOf(stream.retentionPeriodHours()));
    }

    static void responses(KinesisClient client) throws Exception {
        byte[] all = new byte[256];
        for (int i = 0; i < all.length; i++) {
            all[i] = (byte) i;
        }
        response(client, "page", "GetRecords", cbor(c -> {
            c.writeStartObject();
            c.writeArrayFieldStart("Records");
            record(c, 1, new byte[0]);
            record(c, 2, all);
            c.writeEndArray();
            c.writeStringField("NextShardIterator", "AAAB");
            c.writeNumberField("MillisBehindLatest", 86_400_000L * 365);
            c.writeEndObject();
        }));
        response(client, "empty_page", "GetRecords", cbor(c -> {
            c.writeStartObject();
            c.writeNumberField("MillisBehindLatest", 0);
            c.writeStringField("NextShardIterator", "AAAB");
            c.writeArrayFieldStart("Records");
            c.writeEndArray();
            c.writeEndObject();
        }));
        response(client, "end", "GetRecords", cbor(c -> {
            c.writeStartObject();
            c.writeArrayFieldStart("Records");
            record(c, 3, "last".getBytes(StandardCharsets.UTF_8));
            c.writeEndArray();
            c.writeNullField("NextShardIterator");
            c.writeNumberField("MillisBehindLatest", 0);
            c.writeArrayFieldStart("ChildShards");
            c.writeStartObject();
            c.writeStringField("ShardId", "shardId-000000000002");
            c.writeArrayFieldStart("ParentShards");
            c.writeString("shardId-000000000000");
            c.writeString("shardId-000000000001");
            c.writeEndArray();
            range(c, "0", "17");
            c.writeEndObject();
            c.writeEndArray();
            c.writeEndObject();
        }));
        response(client, "unknown_members", "GetRecords", cbor(c -> {
            c.writeStartObject();
            c.writeObjectFieldStart("Future");
            c.writeArrayFieldStart("Nested");
            c.writeNumber(-1.5);
            c.writeBoolean(true);
            c.writeNull();
            c.writeBinary(all);
            c.writeStartObject();
            c.writeEndObject();
            c.writeEndArray();
            c.writeEndObject();
            c.writeArrayFieldStart("Records");
            c.writeEndArray();
            c.writeStringField("NextShardIterator", "AAAB");
            c.writeNumberField("AnotherNumber", 1L << 40);
            c.writeEndObject();
        }));
        // One record with the key "k" and the data "d", as servers of other languages write it:
        // definite lengths, and the timestamp in various forms.
        String start = "a2" + text("Records") + "81a4" + text("SequenceNumber") + text("1")
            + text("PartitionKey") + text("k") + text("Data") + "4164"
            + text("ApproximateArrivalTimestamp");
        String end = text("NextShardIterator") + text("AAAB");
        String[][] times = {
            {"definite", "c11b0000019abcdd20fb"},
            {"time_without_tag", "1b0000019abcdd20fb"},
            {"time_of_32_bits", "c11a6925f7a0"},
            {"time_negative", "c1390fa0"},
            {"time_double", "c1fb427a" + "bcdd20fb0000"},
            {"time_double_fraction", "c1fb427abcdd20fb8000"},
            {"time_float", "c1fa53cdee6b"},
        };
        for (String[] time : times) {
            response(client, time[0], "GetRecords", HEX.parseHex(start + time[1] + end));
        }
        // The data in two chunks, and the key in two.
        response(client, "chunks", "GetRecords", HEX.parseHex("bf" + text("Records") + "9fbf"
            + text("SequenceNumber") + text("1") + text("PartitionKey") + "7f" + text("k")
            + text("ey") + "ff" + text("Data") + "5f4161426263ff" + "ffff" + end + "ff"));
        response(client, "self_described", "GetRecords",
            HEX.parseHex("d9d9f7a2" + text("Records") + "80" + end));
        response(client, "iterator", "GetShardIterator", cbor(c -> {
            c.writeStartObject();
            c.writeStringField("ShardIterator", "A".repeat(226));
            c.writeEndObject();
        }));
        response(client, "shards", "ListShards", cbor(c -> {
            c.writeStartObject();
            c.writeArrayFieldStart("Shards");
            shard(c, "shardId-000000000000", null, null, SEQUENCE + "9");
            shard(c, "shardId-000000000001", null, null, SEQUENCE + "9");
            shard(c, "shardId-000000000002", "shardId-000000000000", "shardId-000000000001", null);
            c.writeEndArray();
            c.writeStringField("NextToken", "AAAA/+==");
            c.writeEndObject();
        }));
        response(client, "summary", "DescribeStreamSummary", cbor(c -> {
            c.writeStartObject();
            c.writeObjectFieldStart("StreamDescriptionSummary");
            c.writeStringField("StreamName", "orders");
            c.writeStringField("StreamARN", ARN);
            c.writeStringField("StreamStatus", "ACTIVE");
            time(c, "StreamCreationTimestamp", TIME.toEpochMilli());
            c.writeNumberField("RetentionPeriodHours", 24);
            c.writeNumberField("OpenShardCount", 70_000);
            c.writeArrayFieldStart("EnhancedMonitoring");
            c.writeEndArray();
            c.writeEndObject();
            c.writeEndObject();
        }));
        for (String code : List.of("ResourceNotFoundException", "ExpiredIteratorException",
                "ProvisionedThroughputExceededException", "KMSDisabledException",
                "com.amazonaws.kinesis#InvalidArgumentException", "SerializationException",
                "SomethingNew")) {
            byte[] body = cbor(c -> {
                c.writeStartObject();
                c.writeStringField("__type", code);
                c.writeStringField("message", "Reason: none — given.");
                c.writeEndObject();
            });
            response(client, "error_" + code, "GetRecords", 400, null, body);
        }
        response(client, "error_in_header", "GetRecords", 400,
            "ExpiredIteratorException:http://internal.amazon.com/coral/", cbor(c -> {
                c.writeStartObject();
                c.writeStringField("__type", "Other");
                c.writeStringField("message", "too old");
                c.writeEndObject();
            }));
        response(client, "error_without_message", "ListShards", 500, null, cbor(c -> {
            c.writeStartObject();
            c.writeStringField("__type", "InternalFailure");
            c.writeEndObject();
        }));
        response(client, "not_cbor", "GetRecords", 200, null,
            "<html>".getBytes(StandardCharsets.UTF_8));
        response(client, "truncated", "GetRecords", 200, null, HEX.parseHex(start + "c11b00"));
    }

    /** Returns a text of up to 255 bytes in hexadecimal CBOR. */
    static String text(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        String length = bytes.length < 24
            ? HEX.toHexDigits((byte) (0x60 | bytes.length))
            : "78" + HEX.toHexDigits((byte) bytes.length);
        return length + HEX.formatHex(bytes);
    }
}
