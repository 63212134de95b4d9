/*
 * The table of the host names that PJLIB resolves: names in SDP, and the name of a destination, for which PJLIB looks
 * for the interface. PJLIB would ask DNS on the SIP thread, for a name that any peer can write, and would block that
 * thread meanwhile. Python fills this table instead. resolver.hpp resolves the destinations of requests.
 */
#ifndef SIPBRIDGE_NAME_TABLE_HPP
#define SIPBRIDGE_NAME_TABLE_HPP

#include <string>
#include <vector>

namespace sipbridge {

/**
 * From now on resolve only the names of learnName. The lookup of an unknown name fails at once and queues an EventName,
 * so that the name is known the next time.
 */
void useNameTable();
/** True if the host is an address of that family, or a known name with one. An unknown name queues an EventName. */
bool isKnownHost(const std::string &host, int family);
/** Set the numeric addresses of a name. Without addresses, the name keeps those that it has. Any thread may call it. */
void learnName(const std::string &name, const std::vector<std::string> &addresses);

}  // namespace sipbridge

#endif
