#include "websocket_frame.hpp"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace sipbridge {

namespace {

const size_t KEY_BYTES = 4;
const uint8_t MASKED = 0x80;
const uint8_t TWO_BYTES = 126, EIGHT_BYTES = 127;  // lengths that follow the second byte

/** Return random bytes. The kernel is asked for many at once: a message per 20 ms and call needs some. */
std::array<uint8_t, KEY_BYTES> nextKey() {
    thread_local std::array<uint8_t, 64 * KEY_BYTES> pool;
    thread_local size_t used = pool.size();
    if (used == pool.size()) {
        // Without a signal handler in between, up to 256 bytes are never returned in part (getrandom(2)).
        while (getrandom(pool.data(), pool.size(), 0) != static_cast<ssize_t>(pool.size()))
            ;
        used = 0;
    }
    std::array<uint8_t, KEY_BYTES> key;
    std::copy_n(pool.begin() + used, KEY_BYTES, key.begin());
    used += KEY_BYTES;
    return key;
}

void applyMask(const std::array<uint8_t, KEY_BYTES> &key, char *bytes, size_t count) {
    uint64_t wide;
    std::memcpy(&wide, key.data(), KEY_BYTES);
    std::memcpy(reinterpret_cast<char *>(&wide) + KEY_BYTES, key.data(), KEY_BYTES);
    size_t done = 0;
    for (; done + sizeof(wide) <= count; done += sizeof(wide)) {
        uint64_t part;
        std::memcpy(&part, bytes + done, sizeof(part));
        part ^= wide;
        std::memcpy(bytes + done, &part, sizeof(part));
    }
    for (; done < count; ++done)
        bytes[done] = static_cast<char>(bytes[done] ^ key[done % KEY_BYTES]);
}

}  // namespace

bool readFrameHeader(std::string_view bytes, FrameHeader *header) {
    if (bytes.size() < 2)
        return false;
    const auto byteAt = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
    const uint8_t length = byteAt(1) & ~MASKED;
    const size_t extended = length == TWO_BYTES ? 2 : length == EIGHT_BYTES ? 8 : 0;
    if (bytes.size() < 2 + extended)
        return false;
    uint64_t payload = extended ? 0 : length;
    for (size_t i = 0; i < extended; ++i)
        payload = payload << 8 | byteAt(2 + i);
    const bool masked = byteAt(1) & MASKED;
    const uint64_t most = std::numeric_limits<size_t>::max() - KEY_BYTES;
    payload = payload > most ? std::numeric_limits<size_t>::max() : payload + (masked ? KEY_BYTES : 0);
    *header = FrameHeader{byteAt(0), masked, 2 + extended, payload};
    return true;
}

void appendTextFrame(std::string_view message, std::string *out) {
    const size_t count = message.size();
    out->push_back(static_cast<char>(FrameHeader::TEXT));
    if (count < TWO_BYTES) {
        out->push_back(static_cast<char>(MASKED | count));
    } else {
        out->push_back(static_cast<char>(MASKED | TWO_BYTES));
        out->push_back(static_cast<char>(count >> 8));
        out->push_back(static_cast<char>(count));
    }
    const auto key = nextKey();
    out->append(key.begin(), key.end());
    out->append(message);
    applyMask(key, out->data() + out->size() - count, count);
}

}  // namespace sipbridge
