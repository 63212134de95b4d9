/*
 * The sources from which messages of a dialog are accepted. The tags of a dialog are not secret, since UDP and TCP do
 * not encrypt them. A sender who has seen them could end the call, press DTMF digits or redirect the audio. Call these
 * on the SIP thread.
 */
#ifndef SIPBRIDGE_SOURCES_HPP
#define SIPBRIDGE_SOURCES_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>
#include <vector>

namespace sipbridge {

/**
 * From now on accept requests and responses of a dialog or a transaction, ACK and CANCEL included, only from the
 * sources of its far end. Source ports are not compared. Any other request gets 403 without a transaction; any other
 * ACK or response is ignored. All are counted, and EventStranger reports them at most once in ten seconds. Call it
 * once, after Endpoint::libInit.
 *
 * The sources of a call to us are those that RequestGate::onConnection admits, and the source of its INVITE, even if a
 * reload no longer trusts that. The sources of our own call are those that callDial was given, and the addresses of the
 * far end's Contact and Record-Route. For both, the connection that the dialog stays on is a source, and the address to
 * which our request went, from which its response comes (RFC 3261, 18.2.2).
 */
void watchSources() PJSUA2_THROW(pj::Error);

/** Begin with the sources of a dialog to us: that of its INVITE. */
void cameFrom(pjsip_dialog *dialog, const pjsip_rx_data *rdata);
/**
 * Begin with the sources of our own dialog: addresses and networks such as `192.0.2.0/24`. Its INVITE went to the target.
 */
void wentTo(pjsip_dialog *dialog, const std::string &target, const std::vector<std::string> &sources);

/** Return the source address of a dialog's INVITE, or the target of ours; empty if neither is known. */
std::string farEndOf(const pjsip_dialog *dialog);

/** Note the addresses of a host name that a Contact or a Record-Route may have. */
void noteAddresses(const std::string &name, const std::vector<pj_sockaddr> &addresses);

/** The number of messages from other sources since the start. */
long long strangers();

}  // namespace sipbridge

#endif
