/*
 * The targets of requests and responses (RFC 3263). PJSIP asks here for the host of a URI, a Route or a Via. Python
 * looks a host name up (sip/targets.py), and the message waits until then. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_RESOLVER_HPP
#define SIPBRIDGE_RESOLVER_HPP

#include <pjsua2.hpp>

#include <string>
#include <vector>

namespace sipbridge {

/** Become PJSIP's resolver: a host name queues an EventResolve. Call it after Endpoint::libInit. */
void resolveNames() PJSUA2_THROW(pj::Error);

/**
 * Give the message of an EventResolve its targets, once, in the order of preference, such as `tcp://192.0.2.1:5060`. If
 * PJSIP cannot send to one, it tries the next. Without a valid target the message fails.
 */
void resolved(int number, const std::vector<std::string> &targets);

/** Let all messages fail that still wait. Call it before Endpoint::libDestroy. */
void resolveNoMore();

/**
 * The target of an INVITE, which was chosen before: while this object exists, every host resolves to it. With
 * `keepFor`, later requests of the call go there too if they are for the same host and port. By then DNS may point to
 * another machine, which does not have the call.
 */
class ChosenTarget {
public:
    explicit ChosenTarget(const std::string &target);
    ~ChosenTarget();
    void keepFor(int call) const;
    ChosenTarget(const ChosenTarget &) = delete;
    ChosenTarget &operator=(const ChosenTarget &) = delete;
};

/** Clear the target of a PJSUA slot, for a call to us. */
void forgetTarget(int call);

}  // namespace sipbridge

#endif
