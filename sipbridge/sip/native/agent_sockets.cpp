#include "agent_sockets.hpp"

#include <poll.h>
#include <sys/epoll.h>

#include <atomic>
#include <unordered_map>

namespace sipbridge {

namespace {

const int MOST_READY = 64;
// A tick reads a socket so many times, 4 kB each, if so few are ready, and else once. So a `clear` waits for less time
// behind audio that was sent ahead, and a tick is not longer than one in which many are ready. TCP holds the rest back.
const int FEW_READY = 8, MOST_READS = 8;

std::unordered_map<int, std::unique_ptr<AgentSocket>> sockets;
std::atomic<int> opened{0};

int watching() {
    static const int descriptor = epoll_create1(EPOLL_CLOEXEC);
    return descriptor;
}

AgentSocket *socketOf(int stream) {
    const auto found = sockets.find(stream);
    return found == sockets.end() ? nullptr : found->second.get();
}

/** Begin or end to watch a socket. One that has failed would be ready all the time. */
void setWatched(int stream, bool watched) {
    AgentSocket *socket = socketOf(stream);
    if (!socket || socket->watched == watched)
        return;
    socket->watched = watched;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = stream;
    epoll_ctl(watching(), watched ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, socket->descriptor, &event);
}

/** Read a socket for which data has arrived. */
void readSocket(int stream, int reads, std::vector<SocketTurn> *turns) {
    SocketTurn turn{stream, "", false};
    turn.ended = !sockets.at(stream)->read(reads, &turn.received);
    if (turn.ended)
        setWatched(stream, false);
    if (turn.ended || !turn.received.empty())
        turns->push_back(std::move(turn));
}

}  // namespace

void openSocket(int stream, const std::shared_ptr<AudioQueue> &queue, int descriptor, const std::string &streamSid) {
    sockets[stream] = std::make_unique<AgentSocket>(descriptor, streamSid, queue);
    ++opened;
}

std::string closeSocket(int stream) {
    AgentSocket *socket = socketOf(stream);
    if (!socket)
        return "";
    setWatched(stream, false);
    std::string partial = socket->takePartial();
    sockets.erase(stream);
    --opened;
    return partial;
}

bool sendToSocket(int stream, std::string *audio, std::string *unsent) {
    AgentSocket *socket = socketOf(stream);
    if (!socket || !socket->sends)
        return false;
    socket->send(*audio, unsent);
    audio->clear();
    return unsent->empty() && !socket->reportsPlayed;
}

std::vector<SocketTurn> readSockets() {
    std::vector<SocketTurn> turns;
    epoll_event events[MOST_READY];
    int count = MOST_READY;
    // Level-triggered events come again in the order of arrival, so that the sockets take turns.
    for (int seen = 0; count == MOST_READY && seen <= opened; seen += count) {
        count = epoll_wait(watching(), events, MOST_READY, 0);
        for (int i = 0; i < count; ++i)
            readSocket(events[i].data.fd, count <= FEW_READY && seen == 0 ? MOST_READS : 1, &turns);
    }
    return turns;
}

std::string siftSocket(int stream, const std::string &bytes) {
    AgentSocket *socket = socketOf(stream);
    if (!socket)
        return bytes;
    std::string rest;
    socket->sift(bytes, &rest);
    return rest;
}

void socketReads(int stream, bool reads) { setWatched(stream, reads); }

void socketSends(int stream, bool sends) {
    if (AgentSocket *socket = socketOf(stream))
        socket->sends = sends;
}

void socketReports(int stream, bool reports) {
    if (AgentSocket *socket = socketOf(stream))
        socket->reportsPlayed = reports;
}

MediaCounts socketCounts(int stream, int messages, int chunks, int bytes) {
    AgentSocket *socket = socketOf(stream);
    if (!socket)
        return MediaCounts{};
    socket->counts.sequence += messages;
    socket->counts.chunk += chunks;
    socket->counts.bytes += bytes;
    return socket->counts;
}

bool socketsReady() {
    pollfd waiting{watching(), POLLIN, 0};
    return opened && poll(&waiting, 1, 0) > 0;
}

bool anySocket() { return opened > 0; }

}  // namespace sipbridge
