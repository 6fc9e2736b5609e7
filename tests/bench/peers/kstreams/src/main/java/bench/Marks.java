package bench;

import backstop.AccountUpdate;
import backstop.BenchPosition;
import backstop.Fill;
import backstop.Mark;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.avro.specific.SpecificRecordBase;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.serialization.IntegerSerializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Marks against accounts, every holder of the instrument evaluated over its whole cross margin:
 * Marks APPLICATION THREADS FORM PREFIX OUT PARTITIONS, with -Dopening=records and -Dfirst=marks
 * that open the accounts, and -Dmarks=marks to be measured.
 *
 * FORM scan: all accounts at every mark. FORM index: a second store by instrument, then the accounts. FORM heap: decoded accounts and an index kept
 * by hand on the processor's heap, the store only for durability. A mark reaches every task by a multicast sink (KIP-837).
 */
public final class Marks {
    private static final AtomicLong OPENED = new AtomicLong();
    private static final AtomicLong MARKS = new AtomicLong();
    private static final AtomicLong FIRST = new AtomicLong();
    private static final int INSTRUMENTS = 64;

    private Marks() {}

    private static final class Leg {
        final int instrument;
        long lots;
        long cost;

        Leg(int instrument) {
            this.instrument = instrument;
        }
    }

    private static final class Account {
        long wallet;
        boolean isLiquidated;
        final List<Leg> legs = new ArrayList<>();

        Leg leg(int instrument) {
            for (Leg leg : legs) {
                if (leg.instrument == instrument) {
                    return leg;
                }
            }
            return null;
        }

        /** Whether equity is below a maintenance of five percent of the notional. */
        boolean isBreached(long[] prices) {
            long equity = wallet, notional = 0;
            for (Leg leg : legs) {
                long value = leg.lots * prices[leg.instrument];
                equity += value - leg.cost;
                notional += Math.abs(value);
            }
            return equity < notional / 20;
        }
    }

    private static final Serde<Account> ACCOUNTS = Serdes.serdeFrom(
        (topic, account) -> {
            if (account == null) {
                return null;
            }
            ByteBuffer to = ByteBuffer.allocate(9 + 20 * account.legs.size()).putLong(account.wallet).put((byte) (account.isLiquidated ? 1 : 0));
            for (Leg leg : account.legs) {
                to.putInt(leg.instrument).putLong(leg.lots).putLong(leg.cost);
            }
            return to.array();
        },
        (topic, bytes) -> {
            if (bytes == null) {
                return null;
            }
            ByteBuffer from = ByteBuffer.wrap(bytes);
            Account account = new Account();
            account.wallet = from.getLong();
            account.isLiquidated = from.get() != 0;
            while (from.hasRemaining()) {
                Leg leg = new Leg(from.getInt());
                leg.lots = from.getLong();
                leg.cost = from.getLong();
                account.legs.add(leg);
            }
            return account;
        });

    record Holding(int instrument, long account) {}

    private static final Serde<Holding> HOLDINGS = Serdes.serdeFrom(
        (topic, holding) -> ByteBuffer.allocate(12).putInt(holding.instrument).putLong(holding.account).array(),
        (topic, bytes) -> {
            ByteBuffer from = ByteBuffer.wrap(bytes);
            return new Holding(from.getInt(), from.getLong());
        });

    record Held(long id, Account account) {}

    private static final class Risk implements Processor<Object, SpecificRecordBase, Long, BenchPosition> {
        private final String form;
        private final long[] prices = new long[INSTRUMENTS];
        private final Map<Long, Held> heap = new HashMap<>();
        private final List<List<Held>> holders = new ArrayList<>();
        private ProcessorContext<Long, BenchPosition> context;
        private KeyValueStore<Long, Account> accounts;
        private KeyValueStore<Holding, byte[]> index;

        Risk(String form) {
            this.form = form;
            for (int number = 0; number < INSTRUMENTS; number++) {
                holders.add(new ArrayList<>());
            }
        }

        @Override
        public void init(ProcessorContext<Long, BenchPosition> its) {
            context = its;
            accounts = its.getStateStore("accounts");
            index = form.equals("index") ? its.getStateStore("holdings") : null;
        }

        @Override
        public void process(Record<Object, SpecificRecordBase> record) {
            if (record.value() instanceof Mark mark) {
                mark(mark, record.timestamp());
            } else if (record.value() instanceof Fill fill) {
                fill(fill);
            } else if (record.value() instanceof AccountUpdate update) {
                Account account = account(update.getAccount());
                account.wallet += update.getAmount();
                accounts.put(update.getAccount(), account);
                OPENED.incrementAndGet();
            }
        }

        private Account account(long id) {
            Held held = heap.get(id);
            if (held != null) {
                return held.account;
            }
            Account account = accounts.get(id);
            account = account == null ? new Account() : account;
            if (form.equals("heap")) {
                heap.put(id, new Held(id, account));
            }
            return account;
        }

        private void fill(Fill fill) {
            long id = fill.getAccount();
            Account account = account(id);
            Leg leg = account.leg(fill.getInstrument());
            if (leg == null) {
                leg = new Leg(fill.getInstrument());
                account.legs.add(leg);
                if (index != null) {
                    index.put(new Holding(leg.instrument, id), new byte[0]);
                } else if (form.equals("heap")) {
                    holders.get(leg.instrument).add(heap.get(id));
                }
            }
            leg.lots += fill.getLots();
            leg.cost += fill.getQuote();
            accounts.put(id, account);
            OPENED.incrementAndGet();
        }

        private void mark(Mark mark, long timestamp) {
            if (OPENED.get() >= Long.getLong("opening") && FIRST.get() == 0) {
                FIRST.compareAndSet(0, System.nanoTime());
            }
            int instrument = mark.getInstrument();
            prices[instrument] = mark.getMarkTicks();
            List<KeyValue<Long, Account>> breached = new ArrayList<>();
            switch (form) {
                case "scan" -> {
                    try (var all = accounts.all()) {
                        all.forEachRemaining(entry -> {
                            if (entry.value.leg(instrument) != null) {
                                look(entry.key, entry.value, breached);
                            }
                        });
                    }
                }
                case "index" -> {
                    try (var found = index.prefixScan(instrument, new IntegerSerializer())) {
                        found.forEachRemaining(entry -> look(entry.key.account, accounts.get(entry.key.account), breached));
                    }
                }
                default -> holders.get(instrument).forEach(held -> look(held.id, held.account, breached));
            }
            for (var entry : breached) {
                accounts.put(entry.key, entry.value);
                BenchPosition said = new BenchPosition(mark.getEventTimeUs(), entry.key, instrument, 0L, 0L, 0L, mark.getSequence());
                context.forward(new Record<>(entry.key, said, timestamp));
            }
            MARKS.incrementAndGet();
        }

        private void look(long id, Account account, List<KeyValue<Long, Account>> breached) {
            if (!account.isLiquidated && account.isBreached(prices)) {
                account.isLiquidated = true;
                breached.add(KeyValue.pair(id, account));
            }
        }
    }

    private static Topology topology(String form, String prefix, String everywhere, String out) {
        var longs = Serdes.Long();
        var ints = Serdes.Integer();
        var marks = Wire.<Mark>framed(Mark.SCHEMA$);
        Topology topology = new Topology()
            .addSource("marks", ints.deserializer(), marks.deserializer(), prefix + "marks")
            .addSink("multicast", everywhere, ints.serializer(), marks.serializer(),
                (topic, key, value, count) -> Optional.of(IntStream.range(0, count).boxed().collect(Collectors.toSet())), "marks")
            .addSource("events", longs.deserializer(), Wire.either(Fill.SCHEMA$, AccountUpdate.SCHEMA$), prefix + "account-events")
            .addSource("marks-here", ints.deserializer(), marks.deserializer(), everywhere)
            .addProcessor("risk", () -> new Risk(form), "events", "marks-here")
            .addStateStore(
                Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore("accounts"), longs, ACCOUNTS).withLoggingEnabled(Map.of()), "risk");
        if (form.equals("index")) {
            topology.addStateStore(
                Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore("holdings"), HOLDINGS, Serdes.ByteArray()).withLoggingEnabled(Map.of()),
                "risk");
        }
        return topology.addSink("out", out, longs.serializer(), Wire.<BenchPosition>framed(BenchPosition.SCHEMA$).serializer(), "risk");
    }

    public static void main(String[] arguments) throws Exception {
        String application = arguments[0], form = arguments[2], prefix = arguments[3], out = arguments[4], everywhere = application + "-everywhere";
        int count = Integer.parseInt(arguments[5]);
        long marks = (Long.getLong("first") + Long.getLong("marks")) * count;
        try (Admin admin = Run.admin()) {
            admin.createTopics(List.of(new org.apache.kafka.clients.admin.NewTopic(everywhere, count, (short) 1))).all().get();
            try (KafkaStreams streams = Run.streams(
                topology(form, prefix, everywhere, out), application, "exactly_once_v2", Integer.parseInt(arguments[1]), 100)) {
                var inputs = Stream.concat(Run.partitions(prefix + "marks", 1).stream(), Run.partitions(everywhere, count).stream()).toList();
                streams.start();
                while (OPENED.get() < Long.getLong("opening")) {
                    Thread.sleep(5);
                }
                System.out.println("opened");
                while (FIRST.get() == 0) {
                    Thread.sleep(1);
                }
                double cpu = Run.cpuSeconds();
                while (MARKS.get() < marks) {
                    Thread.sleep(2);
                }
                while (!Run.isCommitted(admin, application, inputs, Run.partitions(out, count))) {
                    Thread.sleep(2);
                }
                double wall = (System.nanoTime() - FIRST.get()) / 1e9;
                System.out.printf(
                    "{\"events\": %d, \"wall_s\": %.4f, \"cpu_s\": %.4f, \"peak_mb\": %d}%n",
                    Long.getLong("marks"), wall, Run.cpuSeconds() - cpu, Run.peakMb());
            }
        }
        System.exit(0);
    }
}
