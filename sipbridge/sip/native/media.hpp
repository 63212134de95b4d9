/*
 * Conference slots and sample rates. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_MEDIA_HPP
#define SIPBRIDGE_MEDIA_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>

namespace sipbridge {

/** Convert 16-bit mono audio to another rate, with libsamplerate's band-limited converter. Rates in Hz. */
std::string resample(const std::string &pcm, int fromRate, int toRate) PJSUA2_THROW(pj::Error);

/** Connect two conference slots in one direction. */
void connectSlots(int source, int sink) PJSUA2_THROW(pj::Error);
/** Disconnect two slots; do nothing if one of them no longer exists. */
void disconnectSlots(int source, int sink);
/** The level of a conference slot in the last 20 ms, 0 to 255: the average as a mu-law magnitude (G.711). */
int slotLevel(int slot);

}  // namespace sipbridge

#endif
