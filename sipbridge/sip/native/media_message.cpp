#include "media_message.hpp"

#include "g711.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sipbridge {

namespace {

// RFC 4648, 4.
constexpr std::string_view ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr char PADDING = '=';
constexpr uint8_t NO_DIGIT = 64;

constexpr std::array<uint8_t, 256> makeDigits() {
    std::array<uint8_t, 256> digits{};
    for (uint8_t &digit : digits)
        digit = NO_DIGIT;
    for (uint8_t i = 0; i < NO_DIGIT; ++i)
        digits[static_cast<uint8_t>(ALPHABET[i])] = i;
    return digits;
}

constexpr std::array<uint8_t, 256> DIGITS = makeDigits();

bool decodeBase64(std::string_view text, std::string *bytes) {
    if (text.empty() || text.size() % 4)
        return false;
    const size_t padding = text.back() != PADDING ? 0 : text[text.size() - 2] != PADDING ? 1 : 2;
    const size_t count = text.size() / 4 * 3 - padding;
    bytes->resize(count + padding);
    char *out = bytes->data();
    uint8_t seen = 0;
    for (size_t i = 0; i < text.size(); i += 4, out += 3) {
        uint32_t group = 0;
        for (size_t j = i; j < i + 4; ++j) {
            const uint8_t digit = j < text.size() - padding ? DIGITS[static_cast<uint8_t>(text[j])] : 0;
            seen |= digit;
            group = group << 6 | (digit & 63U);
        }
        out[0] = static_cast<char>(group >> 16);
        out[1] = static_cast<char>(group >> 8);
        out[2] = static_cast<char>(group);
    }
    bytes->resize(count);
    return !(seen & NO_DIGIT);
}

void appendBase64(std::string_view bytes, std::string *out) {
    const auto byteAt = [&](size_t i) -> uint32_t { return i < bytes.size() ? static_cast<uint8_t>(bytes[i]) : 0; };
    for (size_t i = 0; i < bytes.size(); i += 3) {
        const uint32_t group = byteAt(i) << 16 | byteAt(i + 1) << 8 | byteAt(i + 2);
        const size_t left = bytes.size() - i;
        const char digits[] = {ALPHABET[group >> 18], ALPHABET[group >> 12 & 63],
                               left > 1 ? ALPHABET[group >> 6 & 63] : PADDING,
                               left > 2 ? ALPHABET[group & 63] : PADDING};
        out->append(digits, sizeof(digits));
    }
}

/** A reader of JSON (RFC 8259) that consists of objects and of strings without escapes. */
class Reader {
public:
    explicit Reader(std::string_view text) : rest_(text) {}

    bool skip(char expected) {
        skipSpace();
        if (rest_.empty() || rest_.front() != expected)
            return false;
        rest_.remove_prefix(1);
        return true;
    }

    bool readString(std::string_view *string) {
        if (!skip('"'))
            return false;
        const size_t end = rest_.find('"');
        if (end == std::string_view::npos || rest_.substr(0, end).find('\\') != std::string_view::npos)
            return false;
        *string = rest_.substr(0, end);
        rest_.remove_prefix(end + 1);
        return true;
    }

    bool isAtEnd() {
        skipSpace();
        return rest_.empty();
    }

private:
    void skipSpace() {
        while (!rest_.empty() &&
               (rest_.front() == ' ' || rest_.front() == '\t' || rest_.front() == '\n' || rest_.front() == '\r'))
            rest_.remove_prefix(1);
    }

    std::string_view rest_;
};

struct Fields {
    std::string_view event, streamSid, payload;
};

bool readPayload(Reader *reader, Fields *fields) {
    std::string_view name;
    return reader->skip('{') && reader->readString(&name) && name == "payload" && reader->skip(':') &&
           reader->readString(&fields->payload) && reader->skip('}');
}

bool readField(Reader *reader, Fields *fields) {
    std::string_view name;
    if (!reader->readString(&name) || !reader->skip(':'))
        return false;
    if (name == "media")
        return fields->payload.empty() && readPayload(reader, fields);
    std::string_view *field = name == "event" ? &fields->event : name == "streamSid" ? &fields->streamSid : nullptr;
    return field && field->empty() && reader->readString(field);
}

bool readFields(std::string_view message, Fields *fields) {
    Reader reader(message);
    if (!reader.skip('{'))
        return false;
    do {
        if (!readField(&reader, fields))
            return false;
    } while (reader.skip(','));
    return reader.skip('}') && reader.isAtEnd();
}

}  // namespace

bool readMedia(std::string_view message, std::string_view streamSid, std::string *audio) {
    Fields fields;
    return readFields(message, &fields) && fields.event == "media" && fields.streamSid == streamSid &&
           decodeBase64(fields.payload, audio);
}

void appendMedia(std::string_view audio, std::string_view streamSid, MediaCounts *counts, std::string *out) {
    const long long milliseconds = counts->bytes / SAMPLES_PER_MILLISECOND;
    counts->bytes += static_cast<long long>(audio.size());
    *out += R"({"event":"media","sequenceNumber":")";
    *out += std::to_string(++counts->sequence);
    *out += R"(","media":{"track":"inbound","chunk":")";
    *out += std::to_string(++counts->chunk);
    *out += R"(","timestamp":")";
    *out += std::to_string(milliseconds);
    *out += R"(","payload":")";
    appendBase64(audio, out);
    *out += R"("},"streamSid":")";
    out->append(streamSid);
    *out += R"("})";
}

}  // namespace sipbridge
