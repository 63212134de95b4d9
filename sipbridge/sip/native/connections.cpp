#include "connections.hpp"

#include "incoming.hpp"
#include "tls.hpp"
#include "events.hpp"
#include "gate.hpp"
#include "message.hpp"
#include "modules.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <set>

// In sip_transport_tls.c (patches/0031); PJSIP has such a function for TCP only.
extern "C" pj_sock_t sipbridgeTlsSocket(pjsip_transport *transport);

namespace sipbridge {

namespace {

const size_t MAX_CALLED = 10000;
// The time limit of a message, from its first byte to its last.
const long MESSAGE_SECONDS = PJSIP_TCP_INITIAL_TIMEOUT;
// The time limit of a message that is too long and has neither its sender nor its call in the part received so far.
const long LOST_SECONDS = 3;
// Limits of the data that a peer leaves unread: in the kernel, of messages that wait behind that, and of such messages
// of all connections.
const int SEND_BUFFER_BYTES = 256 * 1024;
const int MAX_UNSENT = 256;
const int MAX_UNSENT_IN_ALL = 4096;
// The most pings received together that get a response.
const int MAX_PONGS = 64;
const char *const NOT_READ = "the peer does not read";

struct Connection {
    StreamFramer framer;
    pj_time_val begun = {0, 0};  // when the unfinished message began
    pjsip_rx_data *rdata = nullptr;
    int unsent = 0;  // messages that the peer has not read
    bool closing = false;
};

size_t mostConnections = 0;
// All connections, including our own.
std::map<pjsip_transport *, std::shared_ptr<Connection>> connections;
int unsentInAll = 0;  // of the connections that are not being closed
// Connections of peers that have sent no message yet, the one longest without a ping first.
std::list<pjsip_transport *> silent;
// Connections of peers that have sent a message.
std::set<pjsip_transport *> proven;
// The number of both together, by source address.
std::map<std::string, size_t> shares;
// The addresses that we have connected to.
std::set<std::string> called;

std::string sourceOf(const pjsip_transport *transport) { return textOf(transport->remote_name.host); }

bool isStream(const pjsip_transport *transport) { return PJSIP_TRANSPORT_IS_RELIABLE(transport); }

bool isTcp(const pjsip_transport *transport) {
    return (transport->key.type & ~PJSIP_TRANSPORT_IPV6) == PJSIP_TRANSPORT_TCP;
}

int socketOf(pjsip_transport *transport) {
    return static_cast<int>(isTcp(transport) ? pjsip_tcp_transport_get_socket(transport)
                                             : sipbridgeTlsSocket(transport));
}

void forget(pjsip_transport *transport) {
    const size_t before = silent.size() + proven.size();
    silent.remove(transport);
    proven.erase(transport);
    if (silent.size() + proven.size() == before)
        return;
    const auto share = shares.find(sourceOf(transport));
    if (share != shares.end() && --share->second == 0)
        shares.erase(share);
}

/**
 * Close a connection at once, even if calls use it; the kernel still sends its data. PJSIP would keep it open as long
 * as calls use it. After this shutdown PJSIP sees the same as when the peer closes, so that the dialogs release it.
 */
void hangUp(pjsip_transport *transport, Connection &connection, const std::string &why) {
    if (connection.closing)
        return;
    connection.closing = true;
    unsentInAll -= connection.unsent;
    ::shutdown(socketOf(transport), SHUT_RDWR);
    push(EventConnectionClosed, -1, pj_sockaddr_get_port(&transport->key.rem_addr), 0,
         sourceOf(transport) + "\n" + why);
}

std::shared_ptr<Connection> connectionOf(pjsip_transport *transport) {
    std::shared_ptr<Connection> &found = connections[transport];
    if (!found)
        found = std::make_shared<Connection>();
    return found;
}

/** Close the connection with the most messages that its peer has not read. */
void hangUpWorst() {
    const auto waiting = [](const auto &each) { return each.second->closing ? -1 : each.second->unsent; };
    const auto worst =
        std::max_element(connections.begin(), connections.end(),
                         [&](const auto &one, const auto &other) { return waiting(one) < waiting(other); });
    hangUp(worst->first, *worst->second, NOT_READ);
}

/** Count a message that the peer has not read (1), or that it has read now (-1). */
void countUnsent(pjsip_transport *transport, int change) {
    if (change < 0 && !connections.count(transport))
        return;
    Connection &connection = *connectionOf(transport);
    connection.unsent += change;
    if (connection.closing)
        return;
    unsentInAll += change;
    if (connection.unsent > MAX_UNSENT)
        hangUp(transport, connection, NOT_READ);
    else if (unsentInAll > MAX_UNSENT_IN_ALL)
        hangUpWorst();
}

/** Close the first connection without a message, of this source or (null) of any; false if there is none. */
bool closeSilent(const std::string *source) {
    for (pjsip_transport *each : silent)
        if (!source || sourceOf(each) == *source) {
            forget(each);
            pjsip_transport_shutdown(each);
            return true;
        }
    return false;
}

void onOpened(pjsip_transport *transport) {
    const std::string source = sourceOf(transport);
    ::setsockopt(socketOf(transport), SOL_SOCKET, SO_SNDBUF, &SEND_BUFFER_BYTES, sizeof(SEND_BUFFER_BYTES));
    if (transport->dir == PJSIP_TP_DIR_OUTGOING) {
        if (called.size() >= MAX_CALLED)
            called.clear();
        called.insert(source);
        return;
    }
    const auto share = shares.find(source);
    const bool tooManyOfIt = share != shares.end() && share->second >= mostConnections / 2;
    const bool tooMany = silent.size() + proven.size() >= mostConnections;
    if ((!called.count(source) && !admitsConnection(source)) || (tooManyOfIt && !closeSilent(&source)) ||
        (!tooManyOfIt && tooMany && !closeSilent(nullptr))) {
        pjsip_transport_shutdown(transport);
        return;
    }
    ++shares[source];
    silent.push_back(transport);
}

void onTransportState(pjsip_transport *transport, pjsip_transport_state state, const pjsip_transport_state_info *info) {
    noteTlsState(transport, state, info);
    if (!isStream(transport))
        return;
    if (state == PJSIP_TP_STATE_CONNECTED) {
        onOpened(transport);
    } else if (state == PJSIP_TP_STATE_DESTROY) {
        forget(transport);
        const auto found = connections.find(transport);
        if (found != connections.end()) {
            if (!found->second->closing)
                unsentInAll -= found->second->unsent;
            connections.erase(found);
        }
    }
}

/**
 * Let the idle time of a connection begin now. A ping, an ACK or a response makes no transaction, whose end would do
 * it.
 */
void noteSignOfLife(pjsip_transport *transport) {
    pjsip_transport_add_ref(transport);
    pjsip_transport_dec_ref(transport);
}

pj_bool_t onMessage(pjsip_rx_data *rdata) {
    pjsip_transport *transport = rdata->tp_info.transport;
    if (!isStream(transport) || transport->dir == PJSIP_TP_DIR_OUTGOING)
        return PJ_FALSE;
    // A further message would keep a connection open that is to be closed.
    if (transport->is_shutdown)
        return PJ_TRUE;
    if (proven.insert(transport).second)
        silent.remove(transport);
    noteSignOfLife(transport);
    return PJ_FALSE;
}

void onPongSent(void *token, pjsip_tx_data *, pj_ssize_t) { countUnsent(static_cast<pjsip_transport *>(token), -1); }

/** Respond to pings (RFC 5626, 4.4.1), unless the peer leaves our messages unread. */
void answerPings(pjsip_transport *transport, const Connection &connection, int pings) {
    // From now on, PJSIP's time limit is that of an idle connection, not that of one that has sent nothing.
    pj_get_timestamp(&transport->last_recv_ts);
    noteSignOfLife(transport);
    const auto position = std::find(silent.begin(), silent.end(), transport);
    if (position != silent.end())
        silent.splice(silent.end(), silent, position);
    if (connection.unsent)
        return;
    std::string pongs;
    for (int i = 0; i < std::min(pings, MAX_PONGS); ++i)
        pongs += "\r\n";
    pjsip_tpselector itself;
    pj_bzero(&itself, sizeof(itself));
    itself.type = PJSIP_TPSELECTOR_TRANSPORT;
    itself.u.transport = transport;
    const auto type = static_cast<pjsip_transport_type_e>(transport->key.type);
    if (pjsip_tpmgr_send_raw(transport->tpmgr, type, &itself, NULL, pongs.data(), pongs.size(),
                             &transport->key.rem_addr, transport->addr_len, transport, &onPongSent) == PJ_EPENDING)
        countUnsent(transport, 1);
}

pjsip_module connectionsModule = [] {
    pjsip_module module = moduleOf("mod-sipbridge-connections", CONNECTIONS_PRIORITY);
    module.on_rx_request = &onMessage;
    module.on_rx_response = &onMessage;
    return module;
}();

}  // namespace

void receiveFromConnection(pjsip_rx_data *rdata, const std::string &bytes) {
    pjsip_transport *transport = rdata->tp_info.transport;
    // A copy of the pointer, because a message may end the transport.
    const std::shared_ptr<Connection> connection = connectionOf(transport);
    if (connection->closing)
        return;
    connection->rdata = rdata;
    int pings = 0;
    connection->framer.feed(bytes);
    while (!connection->closing) {
        Frame frame = connection->framer.next();
        if (frame.kind == FrameNone)
            break;
        if (frame.kind == FramePing)
            ++pings;
        else if (frame.kind == FrameEnd)
            hangUp(transport, *connection, "the start of its next message could not be found");
        else
            processFrame(rdata, frame);
        // The time of the next message begins with its own first byte.
        connection->begun.sec = 0;
    }
    if (pings && !connection->closing && !transport->is_shutdown)
        answerPings(transport, *connection, pings);
    if (!connection->framer.isUnfinished())
        connection->begun.sec = 0;
    else if (!connection->begun.sec)
        pj_gettickcount(&connection->begun);
}

void closeUnfinished() {
    static pj_time_val checked = {0, 0};
    pj_time_val now;
    pj_gettickcount(&now);
    if (now.sec == checked.sec)
        return;
    checked = now;
    // A copy, because a message that is processed here may end other connections.
    const auto all = connections;
    for (const auto &each : all) {
        Connection &connection = *each.second;
        const long allowed = connection.framer.isLost() ? LOST_SECONDS : MESSAGE_SECONDS;
        if (connection.closing || !connection.begun.sec || now.sec - connection.begun.sec < allowed)
            continue;
        Frame frame = connection.framer.giveUp();
        if (frame.kind == FrameRefused)
            processFrame(connection.rdata, frame);
        hangUp(each.first, connection, "its message did not end in time");
    }
}

void watchConnections(int most) {
    mostConnections = static_cast<size_t>(most);
    pjsua_var.ua_cfg.cb.on_transport_state = &onTransportState;
    registerModule(&connectionsModule);
    watchIncoming();
}

int openConnections() { return static_cast<int>(silent.size() + proven.size()); }

}  // namespace sipbridge

// PJSIP calls this (patches/0030).
extern "C" void sipbridgeCountUnsent(pjsip_transport *transport, int change) {
    if (sipbridge::isStream(transport))
        sipbridge::countUnsent(transport, change);
}
