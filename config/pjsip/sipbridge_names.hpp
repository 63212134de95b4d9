/*
 * Host names that PJSIP wants resolved. It would ask DNS for them on the SIP thread, and stand still for as long as that
 * takes, for a name that any peer may write into a Contact or an SDP. Here they come from a list that Python keeps.
 */
#ifndef SIPBRIDGE_NAMES_HPP
#define SIPBRIDGE_NAMES_HPP

#include <string>
#include <vector>

namespace sipbridge {

/**
 * From now on resolve no names but those of learnName. One that is asked for and not known fails at once, and comes as an
 * EventName to be learnt, so that it is known the next time.
 */
void keepFromDns();
/** What a name stands for: numeric addresses, none where it cannot be resolved. From any thread. */
void learnName(const std::string &name, const std::vector<std::string> &addresses);

}  // namespace sipbridge

#endif
