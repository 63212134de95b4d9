/*
 * The common parts of our responses: the methods and extensions that we serve, and From and To as the request has them.
 */
#ifndef SIPBRIDGE_RESPONSES_HPP
#define SIPBRIDGE_RESPONSES_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * Put the methods, extensions, bodies and events that we serve into every Allow, Supported, Accept and Allow-Events
 * header, instead of all that PJSIP's modules could serve. Call it once, after Endpoint::libInit.
 */
void watchResponses() PJSUA2_THROW(pj::Error);

/**
 * Let responses copy a request's From and To as its sender wrote them (RFC 3261, 8.2.6.2); PJSIP would print them in
 * its own form. For a `refused` request, CSeq as well, because the one that PJSIP has parsed may be another.
 */
void keepAsWritten(pjsip_rx_data *rdata, bool refused);

/** True if a request may require this extension (RFC 3261, 8.2.2.3). */
bool isSupported(const pj_str_t &extension);

/** True if this method is served within a dialog. */
bool isAllowed(const pj_str_t &method);

}  // namespace sipbridge

#endif
