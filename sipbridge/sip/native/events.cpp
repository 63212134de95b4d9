#include "events.hpp"

#include <atomic>
#include <mutex>

namespace sipbridge {

namespace {

std::mutex eventsMutex;
std::vector<CallEvent> events;
std::atomic<bool> anyEvents{false};

}  // namespace

void push(EventKind kind, int call, int number, int status, const std::string &text, bool final) {
    std::lock_guard<std::mutex> lock(eventsMutex);
    events.push_back(CallEvent{kind, call, number, status, text, final});
    anyEvents = true;
}

bool anyEvent() { return anyEvents; }

std::vector<CallEvent> takeEvents() {
    std::vector<CallEvent> taken;
    std::lock_guard<std::mutex> lock(eventsMutex);
    taken.swap(events);
    anyEvents = false;
    return taken;
}

}  // namespace sipbridge
