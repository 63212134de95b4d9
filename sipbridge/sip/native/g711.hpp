/*
 * G.711 at 8 kHz: the time that its audio lasts, and conversion between its two laws (ITU-T G.711, tables 1 to 4). A
 * byte is a sample.
 */
#ifndef SIPBRIDGE_G711_HPP
#define SIPBRIDGE_G711_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace sipbridge {

const int SAMPLES_PER_MILLISECOND = 8;
constexpr auto SAMPLE_TIME = std::chrono::microseconds(1000 / SAMPLES_PER_MILLISECOND);

/** The time that so much audio lasts. */
constexpr std::chrono::microseconds duration(size_t bytes) { return bytes * SAMPLE_TIME; }

/** Convert A-law to mu-law in place. */
void mulawFromAlaw(uint8_t *bytes, size_t count);
/** Convert mu-law to A-law in place. */
void alawFromMulaw(uint8_t *bytes, size_t count);

}  // namespace sipbridge

#endif
