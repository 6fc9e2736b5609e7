package bench;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/** What both programs share: the client's settings, when everything is committed, and the figures of the process. */
final class Run {
    static final String BROKER = System.getProperty("broker");

    private Run() {}

    static Admin admin() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", BROKER);
        return Admin.create(settings);
    }

    static KafkaStreams streams(Topology topology, String application, String guarantee, int threads, int commitMs) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", BROKER);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, threads);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, commitMs);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, System.getProperty("state"));
        settings.put("auto.offset.reset", "earliest");
        settings.put("transaction.timeout.ms", 120_000); // a scan over all accounts outlasts the default of ten seconds
        KafkaStreams streams = new KafkaStreams(topology, settings);
        streams.setUncaughtExceptionHandler(problem -> {
            problem.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        return streams;
    }

    static List<TopicPartition> partitions(String topic, int count) {
        return IntStream.range(0, count).mapToObj(number -> new TopicPartition(topic, number)).toList();
    }

    static Map<TopicPartition, Long> ends(Admin admin, Collection<TopicPartition> partitions, IsolationLevel level) throws Exception {
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        partitions.forEach(partition -> wanted.put(partition, OffsetSpec.latest()));
        Map<TopicPartition, Long> ends = new HashMap<>();
        admin.listOffsets(wanted, new ListOffsetsOptions(level)).all().get().forEach((partition, found) -> ends.put(partition, found.offset()));
        return ends;
    }

    /** Whether the group has committed all inputs up to their last record, and no output has an open transaction. */
    static boolean isCommitted(Admin admin, String group, Collection<TopicPartition> inputs, Collection<TopicPartition> outputs) throws Exception {
        var committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        for (var end : ends(admin, inputs, IsolationLevel.READ_UNCOMMITTED).entrySet()) {
            var found = committed.get(end.getKey());
            // A partition written in transactions ends in a marker, which a commit need not cover.
            if (end.getValue() > 0 && (found == null || found.offset() < end.getValue() - 1)) {
                return false;
            }
        }
        return ends(admin, outputs, IsolationLevel.READ_UNCOMMITTED).equals(ends(admin, outputs, IsolationLevel.READ_COMMITTED));
    }

    static double cpuSeconds() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1e9;
    }

    static long peakMb() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM")) {
                return Long.parseLong(line.replaceAll("\\D", "")) / 1024;
            }
        }
        return -1;
    }
}
