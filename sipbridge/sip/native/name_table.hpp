/*
 * Host names that PJLIB wants resolved: those in SDP, and that of a destination, for the interface towards it. It would
 * ask DNS for them on the SIP thread, and stand still for as long as that takes, for a name that any peer may write.
 * Here they come from a list that Python fills. Where requests go is resolver.hpp's.
 */
#ifndef SIPBRIDGE_NAME_TABLE_HPP
#define SIPBRIDGE_NAME_TABLE_HPP

#include <string>
#include <vector>

namespace sipbridge {

/**
 * From now on resolve no names but those of learnName. One that is asked for and not known fails at once, and comes as an
 * EventName to be learnt, so that it is known the next time.
 */
void useNameTable();
/** True if it is an address of that family, or a name with one that is known. Another name is learnt for the next time. */
bool isKnownHost(const std::string &host, int family);
/** The numeric addresses of a name, from any thread. With none the name keeps those that it has. */
void learnName(const std::string &name, const std::vector<std::string> &addresses);

}  // namespace sipbridge

#endif
