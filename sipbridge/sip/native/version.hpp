/*
 * The build of PJSIP, and settings of the whole endpoint. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_VERSION_HPP
#define SIPBRIDGE_VERSION_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>

namespace sipbridge {

/** The version of PJSIP, like "2.17". */
inline std::string builtVersion() { return pj_get_version(); }

/** The number of legs that this build of PJSIP carries (PJSUA_MAX_CALLS). */
inline int builtMaxLegs() { return PJSUA_MAX_CALLS; }

/** Set how much PJSIP logs, 0 (nothing) to 6. Before Endpoint::libCreate, PJSIP logs to standard output. */
inline void setLogLevel(int level) { pj_log_set_level(level); }

/**
 * Send every request over the transport that its URI names. For a request over 1,300 bytes, PJSIP would try TCP before
 * UDP (RFC 3261, 18.1.1), and would wait for it if a firewall drops the SYN. With a call's headers, most INVITEs are
 * longer than that.
 */
inline void disableTcpSwitch() { pjsip_cfg()->endpt.disable_tcp_switch = PJ_TRUE; }

}  // namespace sipbridge

#endif
