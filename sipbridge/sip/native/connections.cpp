#include "connections.hpp"

#include "incoming.hpp"
#include "tls.hpp"
#include "events.hpp"
#include "gate.hpp"
#include "message.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <set>

// In sip_transport_tls.c, by our build; PJSIP has the same for TCP.
extern "C" pj_sock_t sipbridgeTlsSocket(pjsip_transport *transport);

namespace sipbridge {

namespace {

const size_t MAX_CALLED = 10000;
// What a message may take to come whole, from its first byte.
const long MESSAGE_SECONDS = PJSIP_TCP_INITIAL_TIMEOUT;
// The same of one that is too long and has named neither its sender nor its call by then.
const long LOST_SECONDS = 3;
// What a peer may leave unread: in the kernel, in messages that wait behind that, and in those of all connections.
const int SEND_BUFFER_BYTES = 256 * 1024;
const int MAX_UNSENT = 256;
const int MAX_UNSENT_IN_ALL = 4096;
// Pings that came together and are answered.
const int MAX_PONGS = 64;
const char *const NOT_READ = "the peer does not read";

struct Connection {
    StreamFramer framer;
    pj_time_val begun = {0, 0};  // when the unfinished message began
    pjsip_rx_data *rdata = nullptr;
    int unsent = 0;  // messages that wait for the peer to read
    bool closing = false;
};

size_t mostConnections = 0;
// All, those that we opened too.
std::map<pjsip_transport *, std::shared_ptr<Connection>> connections;
int unsentInAll = 0;  // of those that are not being closed
// Of those that others opened: which have sent no message yet, the one longest without a sign of life first, and which
// have; a source's share in both.
std::list<pjsip_transport *> silent;
std::set<pjsip_transport *> heard;
std::map<std::string, size_t> shares;
// Addresses that we have opened a connection to.
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
    const size_t before = silent.size() + heard.size();
    silent.remove(transport);
    heard.erase(transport);
    if (silent.size() + heard.size() == before)
        return;
    const auto share = shares.find(sourceOf(transport));
    if (share != shares.end() && --share->second == 0)
        shares.erase(share);
}

/** Close one that is not in use. */
void drop(pjsip_transport *transport) { pjsip_transport_shutdown(transport); }

/**
 * Close one that calls may stand on, at once, after what is in the kernel. PJSIP alone would keep it open for as long as
 * they need it; so it sees what it would see if the peer had closed, and dialogs release it.
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

/** Close the one with the most messages that wait. */
void hangUpWorst() {
    const auto waiting = [](const auto &each) { return each.second->closing ? -1 : each.second->unsent; };
    const auto worst =
        std::max_element(connections.begin(), connections.end(),
                         [&](const auto &one, const auto &other) { return waiting(one) < waiting(other); });
    hangUp(worst->first, *worst->second, NOT_READ);
}

/** Count a message that waits for the peer to read (1), or that waits no longer (-1). */
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

/** Drop the first that has sent no message, of this source or of any; false if there is none. */
bool makeRoom(const std::string *source) {
    for (pjsip_transport *each : silent)
        if (!source || sourceOf(each) == *source) {
            forget(each);
            drop(each);
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
    const bool tooMany = silent.size() + heard.size() >= mostConnections;
    if ((!called.count(source) && !admitsConnection(source)) || (tooManyOfIt && !makeRoom(&source)) ||
        (!tooManyOfIt && tooMany && !makeRoom(nullptr))) {
        drop(transport);
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

/** Its idle time counts from now: a ping, an ACK or a response makes no transaction whose end would begin it. */
void noteSignOfLife(pjsip_transport *transport) {
    pjsip_transport_add_ref(transport);
    pjsip_transport_dec_ref(transport);
}

pj_bool_t onMessage(pjsip_rx_data *rdata) {
    pjsip_transport *transport = rdata->tp_info.transport;
    if (!isStream(transport) || transport->dir == PJSIP_TP_DIR_OUTGOING)
        return PJ_FALSE;
    // Else each further message would keep open what is to be closed.
    if (transport->is_shutdown)
        return PJ_TRUE;
    if (heard.insert(transport).second)
        silent.remove(transport);
    noteSignOfLife(transport);
    return PJ_FALSE;
}

void onPongSent(void *token, pjsip_tx_data *, pj_ssize_t) { countUnsent(static_cast<pjsip_transport *>(token), -1); }

/** RFC 5626, 4.4.1. One that does not read is sent no more of them. */
void answerPings(pjsip_transport *transport, const Connection &connection, int pings) {
    // From here on the time of an idle connection, and not that of one that has said nothing.
    pj_get_timestamp(&transport->last_recv_ts);
    noteSignOfLife(transport);
    const auto place = std::find(silent.begin(), silent.end(), transport);
    if (place != silent.end())
        silent.splice(silent.end(), silent, place);
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

pjsip_module makeModule() {
    pjsip_module module;
    pj_bzero(&module, sizeof(module));
    module.name = pj_str(const_cast<char *>("mod-sipbridge-connections"));
    module.id = -1;
    // Before any other looks at the message.
    module.priority = PJSIP_MOD_PRIORITY_TRANSPORT_LAYER - 2;
    module.on_rx_request = &onMessage;
    module.on_rx_response = &onMessage;
    return module;
}

pjsip_module connectionsModule = makeModule();

}  // namespace

void receiveFromConnection(pjsip_rx_data *rdata, const std::string &bytes) {
    pjsip_transport *transport = rdata->tp_info.transport;
    // Held: a message may end the transport.
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
            hangUp(transport, *connection, "where its next message begins cannot be known");
        else
            processFrame(rdata, frame);
        // Else the next message could not begin before this one should have ended.
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
    static pj_time_val looked = {0, 0};
    pj_time_val now;
    pj_gettickcount(&now);
    if (now.sec == looked.sec)
        return;
    looked = now;
    // A copy: what is processed may end others.
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
    pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &connectionsModule);
    watchIncoming();
}

int openConnections() { return static_cast<int>(silent.size() + heard.size()); }

}  // namespace sipbridge

// PJSIP's own C calls this (patches/).
extern "C" void sipbridgeCountUnsent(pjsip_transport *transport, int change) {
    if (sipbridge::isStream(transport))
        sipbridge::countUnsent(transport, change);
}
