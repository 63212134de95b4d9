#include "name_table.hpp"

#include "events.hpp"
#include "peers.hpp"
#include "text.hpp"

#include <netdb.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <set>

namespace sipbridge {

namespace {

using Clock = std::chrono::steady_clock;

// A trunk and its agents use a few names. More are from a peer that invents them; Python limits the lookups of each
// peer.
const size_t MAX_KNOWN = 1000, MAX_ASKED = 1000;
// An older entry is looked up again when it is used, and is valid until the new addresses are known.
const auto FRESH = std::chrono::seconds(60);

struct Known {
    std::vector<std::string> addresses;
    Clock::time_point learnt, used;
};

std::mutex namesMutex;
bool kept = false;
std::map<std::string, Known> known;
std::set<std::string> asked;

/** True if the text may be a host name; one of digits and dots alone is an address (RFC 1123, 2.1). */
bool isName(const std::string &text) {
    bool letters = false;
    for (const char c : text) {
        const bool letter = (c >= 'a' && c <= 'z') || c == '_' || c == '-';
        if (!letter && c != '.' && !(c >= '0' && c <= '9'))
            return false;
        letters = letters || letter;
    }
    return letters && text.size() < 254;
}

void ask(const std::string &name) {
    if (isName(name) && asked.size() < MAX_ASKED && asked.insert(name).second)
        push(EventName, -1, 0, 0, name + "\n" + authorOfNames());
}

int numeric(const std::string &address, const addrinfo *hint, addrinfo **found) {
    addrinfo numbers = *hint;
    numbers.ai_flags |= AI_NUMERICHOST;
    return ::getaddrinfo(address.c_str(), nullptr, &numbers, found);
}

}  // namespace

void useNameTable() {
    std::lock_guard<std::mutex> lock(namesMutex);
    kept = true;
}

void learnName(const std::string &name, const std::vector<std::string> &addresses) {
    std::lock_guard<std::mutex> lock(namesMutex);
    const std::string key = lower(name);
    asked.erase(key);
    if (addresses.empty())
        return;
    const Clock::time_point now = Clock::now();
    if (known.size() >= MAX_KNOWN && !known.count(key))
        known.erase(std::min_element(known.begin(), known.end(), [](const auto &one, const auto &other) {
            return one.second.used < other.second.used;
        }));
    known[key] = Known{addresses, now, now};
}

}  // namespace sipbridge

/** The replacement of getaddrinfo that PJLIB calls (patches/0023). */
extern "C" int sipbridge_getaddrinfo(const char *node, const addrinfo *hint, addrinfo **found) {
    using namespace sipbridge;
    std::lock_guard<std::mutex> lock(namesMutex);
    if (!kept)
        return ::getaddrinfo(node, nullptr, hint, found);
    if (numeric(node, hint, found) == 0)
        return 0;
    const std::string name = lower(node);
    const auto entry = known.find(name);
    if (entry == known.end()) {
        ask(name);
        return EAI_AGAIN;
    }
    entry->second.used = Clock::now();
    if (entry->second.used - entry->second.learnt > FRESH)
        ask(name);
    for (const std::string &address : entry->second.addresses)
        if (numeric(address, hint, found) == 0)
            return 0;
    return EAI_AGAIN;
}

bool sipbridge::isKnownHost(const std::string &host, int family) {
    addrinfo hint = {}, *found = nullptr;
    hint.ai_family = family;
    if (sipbridge_getaddrinfo(host.c_str(), &hint, &found) != 0)
        return false;
    ::freeaddrinfo(found);
    return true;
}
