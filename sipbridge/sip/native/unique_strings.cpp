/*
 * PJLIB's unique strings, of which each call takes three for its tags and branches: random UUIDs (RFC 9562, 5.4).
 * libuuid, which PJLIB would use, makes five system calls for each. Here one gets the random bytes of sixteen.
 */
#include <pj/guid.h>

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>

namespace {

const size_t UUID_BYTES = 16;
// As many as getentropy gives at once.
const size_t BUFFER_BYTES = 16 * UUID_BYTES;

/** Random bytes for one UUID. Each thread has its own, since the GUID of an object may be made on any thread. */
const unsigned char *randomBytes() {
    thread_local std::array<unsigned char, BUFFER_BYTES> bytes;
    thread_local size_t used = BUFFER_BYTES;
    if (used == BUFFER_BYTES) {
        // It fails only without getrandom(2), and a tag that can be guessed would let others speak in a call.
        if (getentropy(bytes.data(), bytes.size()) != 0)
            std::abort();
        used = 0;
    }
    used += UUID_BYTES;
    return &bytes[used - UUID_BYTES];
}

}  // namespace

extern "C" {

const unsigned PJ_GUID_STRING_LENGTH = 36;

unsigned pj_GUID_STRING_LENGTH() { return PJ_GUID_STRING_LENGTH; }

pj_str_t *pj_generate_unique_string(pj_str_t *text) {
    static const char DIGITS[] = "0123456789abcdef";
    const unsigned char *random = randomBytes();
    char *end = text->ptr;
    for (size_t i = 0; i < UUID_BYTES; ++i) {
        unsigned byte = random[i];
        if (i == 6)
            byte = (byte & 0x0F) | 0x40;  // version 4
        else if (i == 8)
            byte = (byte & 0x3F) | 0x80;  // the variant of RFC 9562
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *end++ = '-';
        *end++ = DIGITS[byte >> 4];
        *end++ = DIGITS[byte & 0x0F];
    }
    text->slen = PJ_GUID_STRING_LENGTH;
    return text;
}

}  // extern "C"
