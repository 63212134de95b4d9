#include "dtmf_event.hpp"

#include "text.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace sipbridge {

namespace {

// RFC 4733, 3.2, table 3.
constexpr std::string_view DIGITS = "0123456789*#ABCD";
const int HIGHEST_EVENT = 255;
const int FLASH = 16;
const size_t PAYLOAD_BYTES = 4;
const char RTP_PAYLOAD[] = "audio/telephone-event";

bool isDigit(unsigned char c) { return std::isdigit(c) != 0; }

/** The event of a value such as `5`, `#`, `10` or `d`; -1 if it has none. */
int eventOf(const std::string &value) {
    if (value.empty() || value.size() > 3)
        return -1;
    if (std::all_of(value.begin(), value.end(), isDigit)) {
        const int number = std::stoi(value);
        return number <= HIGHEST_EVENT ? number : -1;
    }
    // Asterisk's form of flash.
    if (value == "!")
        return FLASH;
    const size_t found = value.size() == 1
                             ? DIGITS.find(static_cast<char>(std::toupper(static_cast<unsigned char>(value[0]))))
                             : std::string::npos;
    return found == std::string::npos ? -1 : static_cast<int>(found);
}

/** The event of a body: the value of its line `Signal=` or `event=`, or else its first line; -1 if it has none. */
int eventOfText(const std::string &body) {
    std::string first;
    for (size_t from = 0; from < body.size();) {
        const size_t end = std::min(body.find_first_of("\r\n", from), body.size());
        const std::string line = trimmed(body.substr(from, end - from));
        from = end + 1;
        const size_t sign = line.find_first_of("=:");
        const std::string name = lower(trimmed(line.substr(0, sign)));
        if (sign != std::string::npos && (name == "signal" || name == "event" || name == "events"))
            return eventOf(trimmed(line.substr(sign + 1)));
        if (first.empty())
            first = line;
    }
    return eventOf(first);
}

/** True if a body is a payload as in RTP: no text begins with such a low byte. */
bool isPayload(const std::string &body) {
    return body.size() == PAYLOAD_BYTES && static_cast<unsigned char>(body[0]) < ' ';
}

}  // namespace

char digitOf(int event) {
    return event >= 0 && static_cast<size_t>(event) < DIGITS.size() ? DIGITS[static_cast<size_t>(event)] : '\0';
}

std::optional<DtmfEvent> readEventPayload(const void *payload, size_t length) {
    const auto *bytes = static_cast<const uint8_t *>(payload);
    if (length < PAYLOAD_BYTES)
        return std::nullopt;
    return DtmfEvent{bytes[0], (bytes[1] & 0x80) != 0, static_cast<uint32_t>(bytes[2] << 8 | bytes[3])};
}

bool isDtmfType(const std::string &type) {
    return type == "application/dtmf-relay" || type == "application/dtmf" || type == RTP_PAYLOAD;
}

std::optional<InfoEvent> readInfoBody(const std::string &type, const std::string &body) {
    if (type == RTP_PAYLOAD && isPayload(body))
        if (const auto event = readEventPayload(body.data(), body.size()))
            return InfoEvent{*event, true};
    const int event = eventOfText(body);
    if (event < 0)
        return std::nullopt;
    return InfoEvent{DtmfEvent{event}};
}

bool isOptional(const std::string &disposition) {
    std::string value = lower(disposition);
    value.erase(std::remove_if(value.begin(), value.end(), [](unsigned char c) { return std::isspace(c); }),
                value.end());
    return value.find(";handling=optional") != std::string::npos;
}

}  // namespace sipbridge
