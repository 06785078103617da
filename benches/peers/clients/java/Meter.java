import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;

/** Counts the records after a warm-up, and the time they take. Threads share it by its lock. */
final class Meter {
    private static final OperatingSystemMXBean SYSTEM =
        (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private boolean measuring;
    private long limit = Long.parseLong(System.getenv("WARM_UP_RECORDS"));
    private long records;
    private long bytes;
    private long checksum;
    private long startNanos;
    private long startProcessorNanos;

    /** Counts a record. Ends the process after the last one. */
    void count(ByteBuffer data) {
        int first = data.position();
        int length = data.remaining();
        records++;
        bytes += length;
        checksum += Byte.toUnsignedInt(data.get(first))
            + Byte.toUnsignedInt(data.get(first + length / 2))
            + Byte.toUnsignedInt(data.get(first + length - 1));
        if (records == limit) {
            reachLimit();
        }
    }

    private void reachLimit() {
        long nanos = System.nanoTime();
        long processorNanos = SYSTEM.getProcessCpuTime();
        if (!measuring) {
            measuring = true;
            startNanos = nanos;
            startProcessorNanos = processorNanos;
            limit = Long.parseLong(System.getenv("MEASURED_RECORDS"));
            records = 0;
            bytes = 0;
            checksum = 0;
            return;
        }
        System.out.println("{\"records\": " + records + ", \"bytes\": " + bytes
            + ", \"checksum\": " + checksum
            + ", \"seconds\": " + (nanos - startNanos) / 1e9
            + ", \"processor_seconds\": " + (processorNanos - startProcessorNanos) / 1e9 + "}");
        try {
            // Until then, the driver reads how much memory the process has used.
            System.in.transferTo(OutputStream.nullOutputStream());
        } catch (IOException e) {
            // The driver has gone.
        }
        Runtime.getRuntime().halt(0);
    }
}
