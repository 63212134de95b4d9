/* What all our responses have in common: what is served here, and the request's own From and To. */
#ifndef SIPBRIDGE_RESPONSES_HPP
#define SIPBRIDGE_RESPONSES_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

/**
 * Say in every message that carries Allow, Supported, Accept or Allow-Events what is served here: PJSIP's modules state
 * what they could do. And answer each request with its From and To as its sender wrote them (RFC 3261, 8.2.6.2), of
 * which PJSIP would print its own reading. Once, after Endpoint::libInit.
 */
void watchResponses() PJSUA2_THROW(pj::Error);

/** True if this extension may be required of us (RFC 3261, 8.2.2.3). */
bool isSupported(const pj_str_t &extension);

/** True if this method is served within a dialog. */
bool isAllowed(const pj_str_t &method);

}  // namespace sipbridge

#endif
