/*
 * Conference slots and sample rates. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_MEDIA_HPP
#define SIPBRIDGE_MEDIA_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>

namespace sipbridge {

/** Sixteen-bit mono audio at another rate, by libsamplerate's band-limited converter. Rates in Hz. */
std::string resample(const std::string &pcm, int fromRate, int toRate) PJSUA2_THROW(pj::Error);

/** Connect two conference slots in one direction. */
void connectSlots(int source, int sink) PJSUA2_THROW(pj::Error);
/** Undo that; nothing where one of them is gone. */
void disconnectSlots(int source, int sink);
/** How loud a conference slot has been in the last 20 ms, 0 to 255: the average as a mu-law magnitude (G.711). */
int slotLevel(int slot);

}  // namespace sipbridge

#endif
