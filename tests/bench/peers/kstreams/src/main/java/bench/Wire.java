package bench;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.avro.Schema;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.specific.SpecificData;
import org.apache.avro.specific.SpecificDatumReader;
import org.apache.avro.specific.SpecificDatumWriter;
import org.apache.avro.specific.SpecificRecordBase;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** Avro single-object framing (ten bytes, then the datum) through generated classes, Avro's fast path; buffers are kept by thread. */
final class Wire {
    private static final int HEADER = 10;

    private Wire() {}

    static <T extends SpecificRecordBase> Serde<T> framed(Schema schema) {
        SpecificData data = new SpecificData();
        data.setCustomCoders(true);
        SpecificDatumWriter<T> writer = new SpecificDatumWriter<>(schema, data);
        SpecificDatumReader<T> reader = new SpecificDatumReader<>(schema, schema, data);
        ThreadLocal<ByteArrayOutputStream> buffers = ThreadLocal.withInitial(() -> new ByteArrayOutputStream(128));
        ThreadLocal<BinaryEncoder> encoders = new ThreadLocal<>();
        ThreadLocal<BinaryDecoder> decoders = new ThreadLocal<>();
        byte[] header = header(schema);
        return Serdes.serdeFrom(
            (topic, value) -> {
                if (value == null) {
                    return null;
                }
                try {
                    ByteArrayOutputStream out = buffers.get();
                    out.reset();
                    out.write(header, 0, HEADER);
                    BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(out, encoders.get());
                    encoders.set(encoder);
                    writer.write(value, encoder);
                    return out.toByteArray();
                } catch (IOException problem) {
                    throw new UncheckedIOException(problem);
                }
            },
            (topic, bytes) -> {
                if (bytes == null) {
                    return null;
                }
                try {
                    BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(bytes, HEADER, bytes.length - HEADER, decoders.get());
                    decoders.set(decoder);
                    return reader.read(null, decoder);
                } catch (IOException problem) {
                    throw new UncheckedIOException(problem);
                }
            });
    }

    /** Records of several schemas in one topic: the header tells which; of another one nothing is read. */
    static Deserializer<SpecificRecordBase> either(Schema... schemas) {
        byte[][] headers = new byte[schemas.length][];
        List<Deserializer<SpecificRecordBase>> readers = new ArrayList<>();
        for (int number = 0; number < schemas.length; number++) {
            headers[number] = header(schemas[number]);
            readers.add(Wire.<SpecificRecordBase>framed(schemas[number]).deserializer());
        }
        return (topic, bytes) -> {
            for (int number = 0; bytes != null && number < headers.length; number++) {
                if (Arrays.equals(headers[number], 0, HEADER, bytes, 0, Math.min(HEADER, bytes.length))) {
                    return readers.get(number).deserialize(topic, bytes);
                }
            }
            return null;
        };
    }

    private static byte[] header(Schema schema) {
        byte[] header = new byte[HEADER];
        ByteBuffer.wrap(header)
            .order(java.nio.ByteOrder.LITTLE_ENDIAN)
            .put((byte) 0xC3)
            .put((byte) 1)
            .putLong(org.apache.avro.SchemaNormalization.parsingFingerprint64(schema));
        return header;
    }
}
