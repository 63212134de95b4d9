/*
 * Who may speak for the far end of a dialog. The tags of a dialog are not secret: they travel in the clear over UDP and TCP,
 * and who has seen them could hang up, press DTMF digits, or have the audio sent elsewhere. Everything here belongs to the
 * SIP thread.
 */
#ifndef SIPBRIDGE_SOURCES_HPP
#define SIPBRIDGE_SOURCES_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * From now on take requests, responses, ACK and CANCEL of a dialog or a transaction only from sources that may speak for
 * its far end; source ports are not compared. Any other request gets 403 without a transaction, any other ACK or response
 * nothing; they are counted, and an EventStranger reports them at most once in ten seconds. Once, after
 * Endpoint::libInit.
 *
 * For a call that came: RequestGate::onConnection decides, and the source of its INVITE counts whatever a reload says. For
 * a call of ours: what callDial was given, and the addresses of the far end's Contact and Record-Route. For both: the
 * connection that the dialog stays on, and where our request went (RFC 3261, 18.2.2: there the response comes from).
 */
void watchSources() PJSUA2_THROW(pj::Error);

/** This dialog began with a request that came. */
void cameFrom(pjsip_dialog *dialog, const pjsip_rx_data *rdata);
/** This dialog is ours: `sources` are addresses and networks such as `192.0.2.0/24` that may speak for its far end. */
void wentTo(pjsip_dialog *dialog, const std::vector<std::string> &sources);

/** Addresses of a host that a Contact or a Record-Route may name. */
void noteAddresses(const std::string &name, const std::vector<pj_sockaddr> &addresses);

/** Messages that were not taken, since the start. */
long long strangers();

}  // namespace sipbridge

#endif
