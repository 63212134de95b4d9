/*
 * Conversion between the two laws of G.711 (ITU-T G.711, tables 1 to 4). A byte is a sample.
 */
#ifndef SIPBRIDGE_G711_HPP
#define SIPBRIDGE_G711_HPP

#include <cstddef>
#include <cstdint>

namespace sipbridge {

/** Convert A-law to mu-law in place. */
void mulawFromAlaw(uint8_t *bytes, size_t count);

}  // namespace sipbridge

#endif
