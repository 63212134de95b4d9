/*
 * Where requests go (RFC 3263). PJSIP asks here for the host that a URI, a Route or a Via names; a name is looked up by
 * Python (sip/targets.py), and the message waits until that has answered. Everything here belongs to the SIP thread.
 */
#ifndef SIPBRIDGE_RESOLVER_HPP
#define SIPBRIDGE_RESOLVER_HPP

#include <pjsua2.hpp>

#include <string>
#include <vector>

namespace sipbridge {

/** Be PJSIP's resolver. A name becomes an EventResolve, which resolved() answers. After Endpoint::libInit. */
void resolveNames() PJSUA2_THROW(pj::Error);

/**
 * Answer an EventResolve, once, by its number: targets such as `tcp://192.0.2.1:5060`, best first. PJSIP takes the next
 * where it cannot send to one. None fails the request, as what cannot be read as a target does.
 */
void resolved(int number, const std::vector<std::string> &targets);

/** Fail all that still wait; before Endpoint::libDestroy. */
void resolveNoMore();

/**
 * As long as it exists, every host is this target: an INVITE goes to the target that was chosen for it. `keepFor` has the
 * call's later requests go there too, if they are for the same host and port: what DNS says of a name may be another
 * machine by then, which knows nothing of the call.
 */
class ChosenTarget {
public:
    explicit ChosenTarget(const std::string &target);
    ~ChosenTarget();
    void keepFor(int call) const;
    ChosenTarget(const ChosenTarget &) = delete;
    ChosenTarget &operator=(const ChosenTarget &) = delete;
};

/** The target that was chosen for a call of ours; empty for a call to us. */
std::string dialledTarget(int call);

/** A call to us has no such target. */
void forgetTarget(int call);

}  // namespace sipbridge

#endif
