package bench;

import backstop.BenchPosition;
import backstop.Fill;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Fills to positions, one output and one changelog write a fill: Positions APPLICATION GUARANTEE THREADS COMMIT_MS IN OUT PARTITIONS [forever].
 * The store is in memory without a write cache: with hundreds of thousands of positions the cache only costs.
 */
public final class Positions {
    private static final AtomicLong SEEN = new AtomicLong();
    private static final AtomicLong FIRST = new AtomicLong();

    private Positions() {}

    record Key(long account, int instrument) {}

    record Held(long lots, long cost, long realised) {
        private static final Held NONE = new Held(0, 0, 0);

        /** Average cost: closing realises against the part of the cost that goes with it, rounded towards zero. */
        Held after(long change, long quote) {
            if (lots == 0 || lots > 0 == change > 0) {
                return new Held(lots + change, cost + quote, realised);
            }
            if (Math.abs(change) <= Math.abs(lots)) {
                long released = cost * -change / lots;
                return new Held(lots + change, cost - released, realised - quote - released);
            }
            long closingQuote = -lots * (quote / change) - lots * (quote % change) / change;
            return new Held(lots + change, quote - closingQuote, realised - closingQuote - cost);
        }
    }

    private static final Serde<Key> KEYS = Serdes.serdeFrom(
        (topic, key) -> key == null ? null : ByteBuffer.allocate(12).putLong(key.account).putInt(key.instrument).array(),
        (topic, bytes) -> {
            ByteBuffer from = ByteBuffer.wrap(bytes);
            return new Key(from.getLong(), from.getInt());
        });

    private static final Serde<Held> VALUES = Serdes.serdeFrom(
        (topic, held) -> held == null ? null : ByteBuffer.allocate(24).putLong(held.lots).putLong(held.cost).putLong(held.realised).array(),
        (topic, bytes) -> {
            if (bytes == null) {
                return null;
            }
            ByteBuffer from = ByteBuffer.wrap(bytes);
            return new Held(from.getLong(), from.getLong(), from.getLong());
        });

    private static final class Book implements Processor<Long, Fill, Long, BenchPosition> {
        private ProcessorContext<Long, BenchPosition> context;
        private KeyValueStore<Key, Held> store;

        @Override
        public void init(ProcessorContext<Long, BenchPosition> its) {
            context = its;
            store = its.getStateStore("positions");
        }

        @Override
        public void process(Record<Long, Fill> record) {
            if (SEEN.getAndIncrement() == 0) {
                FIRST.set(System.nanoTime());
            }
            Fill fill = record.value();
            Key key = new Key(fill.getAccount(), fill.getInstrument());
            Held before = store.get(key);
            Held held = (before == null ? Held.NONE : before).after(fill.getLots(), fill.getQuote());
            store.put(key, held);
            context.forward(record.withValue(new BenchPosition(
                fill.getEventTimeUs(), key.account, key.instrument, held.lots, held.cost, held.realised, fill.getTradeId())));
        }
    }

    private static Topology topology(String in, String out) {
        var store = Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore("positions"), KEYS, VALUES).withLoggingEnabled(Map.of());
        return new Topology()
            .addSource("fills", Serdes.Long().deserializer(), Wire.<Fill>framed(Fill.SCHEMA$).deserializer(), in)
            .addProcessor("book", Book::new, "fills")
            .addStateStore(store, "book")
            .addSink("out", out, Serdes.Long().serializer(), Wire.<BenchPosition>framed(BenchPosition.SCHEMA$).serializer(), "book");
    }

    public static void main(String[] arguments) throws Exception {
        String application = arguments[0], in = arguments[4], out = arguments[5];
        int count = Integer.parseInt(arguments[6]);
        try (Admin admin = Run.admin();
            KafkaStreams streams = Run.streams(
                topology(in, out), application, arguments[1], Integer.parseInt(arguments[2]), Integer.parseInt(arguments[3]))) {
            var inputs = Run.partitions(in, count);
            var outputs = Run.partitions(out, count);
            long records = Long.getLong("records", 0);
            streams.start();
            if (arguments.length > 7) {
                Thread.sleep(Long.MAX_VALUE);
            }
            while (SEEN.get() == 0) {
                Thread.sleep(1);
            }
            double cpu = Run.cpuSeconds();
            while (SEEN.get() < records / 2) {
                Thread.sleep(5);
            }
            long half = System.nanoTime(), halfSeen = SEEN.get();
            while (SEEN.get() < records) {
                Thread.sleep(5);
            }
            long last = System.nanoTime();
            while (!Run.isCommitted(admin, application, inputs, outputs)) {
                Thread.sleep(5);
            }
            double wall = (System.nanoTime() - FIRST.get()) / 1e9;
            System.out.printf(
                "{\"events\": %d, \"wall_s\": %.4f, \"cpu_s\": %.4f, \"warm_per_s\": %.1f, \"peak_mb\": %d}%n",
                records, wall, Run.cpuSeconds() - cpu, (records - halfSeen) / ((last - half) / 1e9), Run.peakMb());
        }
        System.exit(0);
    }
}
