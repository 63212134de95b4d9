/* What all our responses have in common: what is served here, and the request's own From and To. */
#ifndef SIPBRIDGE_RESPONSES_HPP
#define SIPBRIDGE_RESPONSES_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * Say in every message that carries Allow, Supported, Accept or Allow-Events what is served here: PJSIP's modules state
 * what they could do. Once, after Endpoint::libInit.
 */
void watchResponses() PJSUA2_THROW(pj::Error);

/**
 * Have responses copy a request's From and To as its sender wrote them (RFC 3261, 8.2.6.2), of which PJSIP would print
 * its own reading; CSeq too if it is `refused`, for PJSIP may have been given another.
 */
void keepAsWritten(pjsip_rx_data *rdata, bool refused);

/** True if this extension may be required of us (RFC 3261, 8.2.2.3). */
bool isSupported(const pj_str_t &extension);

/** True if this method is served within a dialog. */
bool isAllowed(const pj_str_t &method);

}  // namespace sipbridge

#endif
