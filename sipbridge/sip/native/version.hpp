/*
 * The build of PJSIP, and settings of the whole endpoint. Everything here belongs to the SIP thread.
 */
#ifndef SIPBRIDGE_VERSION_HPP
#define SIPBRIDGE_VERSION_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>

namespace sipbridge {

/** The version of PJSIP, like "2.17". */
inline std::string builtVersion() { return pj_get_version(); }

/** How many legs this build of PJSIP carries (PJSUA_MAX_CALLS). */
inline int builtMaxLegs() { return PJSUA_MAX_CALLS; }

/** How much PJSIP prints, 0 (nothing) to 6. Before Endpoint::libCreate it would print to standard output. */
inline void setLogLevel(int level) { pj_log_set_level(level); }

/**
 * Send every request over the transport that its URI names. Over 1,300 bytes PJSIP would try TCP before UDP (RFC 3261,
 * 18.1.1), and wait for it where a firewall swallows the SYN; with a call's headers most INVITEs are longer.
 */
inline void disableTcpSwitch() { pjsip_cfg()->endpt.disable_tcp_switch = PJ_TRUE; }

}  // namespace sipbridge

#endif
