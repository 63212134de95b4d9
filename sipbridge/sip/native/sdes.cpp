#include "sdes.hpp"

#include "text.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <unordered_map>

namespace sipbridge {

namespace {

struct Suite {
    const char *name;
    size_t keyBytes;  // of key and salt together
};

// RFC 4568, 6.2 and RFC 6188, 4. PJMEDIA has others, but our accounts do not use them.
const Suite SUITES[] = {{"AES_CM_128_HMAC_SHA1_80", 30}, {"AES_256_CM_HMAC_SHA1_80", 46}};

// The shortest lifetime of a key that is served: 2^20 packets take 5.8 hours at 50 packets per second. By default a
// conversation ends after one hour.
const unsigned LEAST_LIFETIME_BITS = 20;
// The number of packets that SRTP can count (RFC 3711, 9.2); a longer lifetime is invalid (RFC 4568, 6.1).
const unsigned MOST_LIFETIME_BITS = 48;

// The smallest valid window size (RFC 4568, 6.3.7).
const unsigned LEAST_WINDOW = 64;

const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool isDigits(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/** Return the text before a separator, and remove both from its beginning. */
std::string_view cut(std::string_view &text, char separator) {
    const size_t end = std::min(text.find(separator), text.size());
    const std::string_view taken = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return taken;
}

std::vector<std::string_view> words(std::string_view text) {
    std::vector<std::string_view> found;
    while (!text.empty())
        if (const std::string_view word = cut(text, ' '); !word.empty())
            found.push_back(word);
    return found;
}

/** A decimal number; the largest of 64 bits if it is larger. */
uint64_t number(std::string_view digits) {
    uint64_t value = 0;
    for (const char digit : digits) {
        if (value > UINT64_MAX / 10 - 1)
            return UINT64_MAX;
        value = value * 10 + static_cast<uint64_t>(digit - '0');
    }
    return value;
}

bool isLongEnough(std::string_view lifetime) {
    const bool power = lifetime.substr(0, 2) == "2^";
    if (power)
        lifetime.remove_prefix(2);
    if (!isDigits(lifetime))
        return false;
    const uint64_t value = number(lifetime);
    const uint64_t least = power ? LEAST_LIFETIME_BITS : uint64_t(1) << LEAST_LIFETIME_BITS;
    const uint64_t most = power ? MOST_LIFETIME_BITS : uint64_t(1) << MOST_LIFETIME_BITS;
    return value >= least && value <= most;
}

/** The key with padding, as PJMEDIA reads it; none if it is not base64 of so many bytes. */
std::optional<std::string> base64Of(std::string_view key, size_t bytes) {
    const size_t digits = (bytes * 8 + 5) / 6, padded = (bytes + 2) / 3 * 4;
    if (key.size() != digits && key.size() != padded)
        return std::nullopt;
    if (key.substr(0, digits).find_first_not_of(ALPHABET) != std::string_view::npos ||
        key.substr(digits).find_first_not_of('=') != std::string_view::npos)
        return std::nullopt;
    return std::string(key.substr(0, digits)) + std::string(padded - digits, '=');
}

/** The key of `inline:KEY` or `inline:KEY|LIFETIME`; none if there is a third part, an MKI, or a second key. */
std::optional<std::string> keyOf(std::string_view parameters, size_t bytes) {
    const std::string_view method = "inline:";
    if (!isSame(parameters.substr(0, method.size()), method))
        return std::nullopt;
    parameters.remove_prefix(method.size());
    const bool more = parameters.find('|') != std::string_view::npos;
    const std::string_view key = cut(parameters, '|');
    if (more && !isLongEnough(parameters))
        return std::nullopt;
    return base64Of(key, bytes);
}

/** True if a session parameter is an extension that may be ignored, or a valid WSH (RFC 4568, 6.3.7 and 6.3.8). */
bool isHarmless(std::string_view parameter) {
    if (!isSame(parameter.substr(0, 4), "WSH="))
        return parameter.size() > 1 && parameter[0] == '-';
    const std::string_view window = parameter.substr(4);
    return isDigits(window) && number(window) >= LEAST_WINDOW;
}

std::optional<Crypto> read(const std::vector<std::string_view> &parts) {
    // PJMEDIA reads a tag as a number: its answer to 01 would have 1.
    if (parts.size() < 3 || !isDigits(parts[0]) || parts[0].size() > 9 || (parts[0].size() > 1 && parts[0][0] == '0'))
        return std::nullopt;
    std::string_view name = parts[1];
    const auto suite = std::find_if(std::begin(SUITES), std::end(SUITES),
                                    [name](const Suite &each) { return isSame(each.name, name); });
    if (suite == std::end(SUITES) || !std::all_of(parts.begin() + 3, parts.end(), isHarmless))
        return std::nullopt;
    std::optional<std::string> key = keyOf(parts[2], suite->keyBytes);
    if (!key)
        return std::nullopt;
    return Crypto{std::string(parts[0]), suite->name, *key};
}

}  // namespace

std::vector<Crypto> servable(const std::vector<std::string_view> &attributes) {
    std::vector<std::vector<std::string_view>> lines;
    std::unordered_map<std::string_view, int> tags;
    for (const std::string_view attribute : attributes) {
        lines.push_back(words(attribute));
        if (!lines.back().empty())
            ++tags[lines.back()[0]];
    }
    std::vector<Crypto> found;
    for (const auto &line : lines)
        if (std::optional<Crypto> crypto = read(line); crypto && tags[line[0]] == 1)
            found.push_back(*crypto);
    return found;
}

}  // namespace sipbridge
