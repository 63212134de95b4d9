#include "sources.hpp"
#include "events.hpp"
#include "gate.hpp"
#include "message.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#define THIS_FILE "sources.cpp"

// In sip_ua_layer.c, by our build: the dialog that PJSIP will give a message to, by its tag or its CANCEL's INVITE.
extern "C" pjsip_dialog *sipbridgeDialogOf(pjsip_rx_data *rdata);

namespace sipbridge {

// What PJSUA2_RAISE_ERROR expects in scope.
using pj::Error;
using std::string;

namespace {

// What is kept of a far end whose responses come from many places, and of names that far ends make up.
const unsigned MAX_LEARNT = 8, MAX_NAMES = 1000;
// For so long a source that is not trusted is not asked about again.
const long REFUSED_SECONDS = 1;
const long TELL_SECONDS = 10;
// Requests and reliable provisional responses of a dialog, per second and at once. Each has a transaction, a response that
// of its PRACK: it is kept for 32 s, in a table that all calls share.
const unsigned MESSAGES_PER_SECOND = 20, MESSAGES_AT_ONCE = 100;

/** An address and how many of its bits count. One of IPv4 is mapped (RFC 4291, 2.5.5.2): the same however it came. */
struct Network {
    unsigned char address[16];
    unsigned bits;
};

/** Those that may speak for the far end of a dialog; in its pool, with room for more that are learnt. */
struct Sources {
    bool ours;
    unsigned count, capacity;
    unsigned messagesLeft;
    long countedAt;
    Network networks[1];
};

std::map<string, std::vector<Network>> names;
std::map<string, long> refused;
long long strangerCount = 0, untold = 0;
long tellAt = 0;

long seconds() {
    pj_time_val now;
    pj_gettickcount(&now);
    return now.sec;
}

Network networkOf(const pj_sockaddr_t *address) {
    Network network = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 128};
    const auto *bytes = static_cast<const unsigned char *>(pj_sockaddr_get_addr(address));
    if (static_cast<const pj_sockaddr *>(address)->addr.sa_family == pj_AF_INET6())
        std::memcpy(network.address, bytes, 16);
    else
        std::memcpy(network.address + 12, bytes, 4);
    return network;
}

bool read(const string &text, Network *network) {
    const size_t slash = text.find('/');
    const string host = text.substr(0, slash);
    const pj_str_t name = pj_str(const_cast<char *>(host.c_str()));
    pj_sockaddr address;
    for (const int family : {pj_AF_INET(), pj_AF_INET6()}) {
        pj_bzero(&address, sizeof(address));
        address.addr.sa_family = static_cast<pj_uint16_t>(family);
        if (pj_inet_pton(family, &name, pj_sockaddr_get_addr(&address)) != PJ_SUCCESS)
            continue;
        *network = networkOf(&address);
        if (slash != string::npos)
            network->bits =
                static_cast<unsigned>(std::atoi(text.c_str() + slash + 1)) + (family == pj_AF_INET() ? 96 : 0);
        return network->bits <= 128;
    }
    return false;
}

bool holds(const Network &network, const Network &source) {
    const unsigned whole = network.bits / 8, rest = network.bits % 8;
    if (std::memcmp(network.address, source.address, whole) != 0)
        return false;
    return rest == 0 || (network.address[whole] ^ source.address[whole]) >> (8 - rest) == 0;
}

bool isHost(const pj_sockaddr_t *address, const Network &source) {
    const auto family = static_cast<const pj_sockaddr *>(address)->addr.sa_family;
    return (family == pj_AF_INET() || family == pj_AF_INET6()) && holds(networkOf(address), source);
}

string folded(const pj_str_t &name) {
    string lower = textOf(name);
    for (char &c : lower)
        c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return lower;
}

/** Whether the host of a Contact or a Record-Route has this address. */
bool isUri(const pjsip_uri *uri, const Network &source) {
    if (!uri || (!PJSIP_URI_SCHEME_IS_SIP(uri) && !PJSIP_URI_SCHEME_IS_SIPS(uri)))
        return false;
    const auto *sip = static_cast<const pjsip_sip_uri *>(pjsip_uri_get_uri(const_cast<pjsip_uri *>(uri)));
    const string host = folded(sip->maddr_param.slen ? sip->maddr_param : sip->host);
    Network network;
    if (read(host, &network))
        return holds(network, source);
    const auto found = names.find(host);
    if (found != names.end())
        for (const Network &each : found->second)
            if (holds(each, source))
                return true;
    return false;
}

/** Whether the far end of a call of ours names this address as its own, or as one on the way to it. */
bool isNamed(const pjsip_dialog *dialog, const Network &source) {
    if (isUri(dialog->target, source) || (dialog->remote.contact && isUri(dialog->remote.contact->uri, source)))
        return true;
    const pjsip_route_hdr *routes = &dialog->route_set;
    for (const pjsip_route_hdr *route = routes->next; route != routes; route = route->next)
        if (isUri(reinterpret_cast<const pjsip_uri *>(&route->name_addr), source))
            return true;
    return false;
}

/** What the gate says of a source; a refusal is remembered, so that a flood does not ask Python each time. */
bool isTrusted(const string &source) {
    const long now = seconds();
    const auto found = refused.find(source);
    if (found != refused.end() && now < found->second)
        return false;
    if (admitsConnection(source)) {
        refused.erase(source);
        return true;
    }
    if (refused.size() >= MAX_NAMES)
        refused.clear();
    refused[source] = now + REFUSED_SECONDS;
    return false;
}

// ---------------------------------------------------------------- dialogs

pj_bool_t onRequest(pjsip_rx_data *rdata);
pj_bool_t onResponse(pjsip_rx_data *rdata);

pjsip_module makeModule() {
    pjsip_module module;
    pj_bzero(&module, sizeof(module));
    module.name = pj_str(const_cast<char *>("mod-sipbridge-sources"));
    module.id = -1;
    // Before the transaction layer, where a stranger's CANCEL, ACK or response would be taken, and before SDP is read.
    module.priority = PJSIP_MOD_PRIORITY_TRANSPORT_LAYER;
    module.on_rx_request = &onRequest;
    module.on_rx_response = &onResponse;
    return module;
}

pjsip_module sourcesModule = makeModule();

Sources *make(pjsip_dialog *dialog, bool ours, size_t count) {
    const size_t capacity = count + MAX_LEARNT;
    auto *sources = static_cast<Sources *>(pj_pool_zalloc(dialog->pool, sizeof(Sources) + capacity * sizeof(Network)));
    sources->ours = ours;
    sources->capacity = static_cast<unsigned>(capacity);
    sources->messagesLeft = MESSAGES_AT_ONCE;
    sources->countedAt = seconds();
    pjsip_dlg_set_mod_data(dialog, sourcesModule.id, sources);
    return sources;
}

Sources *sourcesOf(const pjsip_dialog *dialog) { return static_cast<Sources *>(dialog->mod_data[sourcesModule.id]); }

void learn(Sources *sources, const Network &source) {
    if (sources && sources->count < sources->capacity)
        sources->networks[sources->count++] = source;
}

bool isKnown(const Sources *sources, const Network &source) {
    if (sources)
        for (unsigned i = 0; i < sources->count; ++i)
            if (holds(sources->networks[i], source))
                return true;
    return false;
}

bool maySpeakFor(const pjsip_dialog *dialog, const pjsip_rx_data *rdata) {
    const pjsip_transport *transport = rdata->tp_info.transport;
    if (dialog->tp_sel.type == PJSIP_TPSELECTOR_TRANSPORT && dialog->tp_sel.u.transport == transport &&
        PJSIP_TRANSPORT_IS_RELIABLE(transport))
        return true;
    const Network source = networkOf(&rdata->pkt_info.src_addr);
    Sources *sources = sourcesOf(dialog);
    if (isKnown(sources, source))
        return true;
    if (sources && sources->ours)
        return isNamed(dialog, source);
    if (!isTrusted(rdata->pkt_info.src_name))
        return false;
    learn(sources, source);
    return true;
}

// ---------------------------------------------------------------- transactions

pjsip_transaction *transactionOf(pjsip_rx_data *rdata, pjsip_role_e role) {
    pj_str_t key;
    const pjsip_method *method = &rdata->msg_info.cseq->method;
    if (pjsip_tsx_create_key(rdata->tp_info.pool, &key, role, method, rdata) != PJ_SUCCESS)
        return nullptr;
    return pjsip_tsx_layer_find_tsx(&key, PJ_FALSE);
}

/** Whether the request of a transaction without a dialog came from there. */
bool isSender(const pjsip_transaction *transaction, const Network &source) {
    const pjsip_response_addr &response = transaction->res_addr;
    if (response.transport)
        return isHost(&response.addr, source);
    Network network;
    return read(folded(response.dst_host.addr.host), &network) && holds(network, source);
}

bool mayTakePart(const pjsip_transaction *transaction, const pjsip_rx_data *rdata) {
    const pjsip_dialog *dialog = pjsip_tsx_get_dlg(const_cast<pjsip_transaction *>(transaction));
    return dialog ? maySpeakFor(dialog, rdata) : isSender(transaction, networkOf(&rdata->pkt_info.src_addr));
}

/** Whether it comes from where the request went. */
bool isReceiver(const pjsip_transaction *transaction, const pjsip_rx_data *rdata) {
    if (PJSIP_TRANSPORT_IS_RELIABLE(rdata->tp_info.transport) && transaction->transport == rdata->tp_info.transport)
        return true;
    return transaction->addr_len > 0 && isHost(&transaction->addr, networkOf(&rdata->pkt_info.src_addr));
}

void note(const pjsip_rx_data *rdata) {
    ++strangerCount;
    ++untold;
    const long now = seconds();
    if (now < tellAt)
        return;
    tellAt = now + TELL_SECONDS;
    const pjsip_msg *message = rdata->msg_info.msg;
    const pj_str_t &method = rdata->msg_info.cseq->method.name;
    const int status = message->type == PJSIP_RESPONSE_MSG ? message->line.status.code : 0;
    push(EventStranger, -1, static_cast<int>(untold & 0x7fffffff), status,
         string(rdata->pkt_info.src_name) + "\n" + textOf(method));
    untold = 0;
}

/** True if a dialog has had too many messages that cost a transaction; otherwise this one counts. */
bool isOverRate(Sources *sources) {
    const long now = seconds();
    const unsigned long regained = static_cast<unsigned long>(now - sources->countedAt) * MESSAGES_PER_SECOND;
    sources->countedAt = now;
    sources->messagesLeft =
        static_cast<unsigned>(std::min<unsigned long>(MESSAGES_AT_ONCE, sources->messagesLeft + regained));
    if (sources->messagesLeft == 0)
        return true;
    --sources->messagesLeft;
    return false;
}

/** True if a dialog's message is over its rate; never a request that ends something, nor a response without a PRACK. */
bool isTooMany(Sources *sources, pjsip_rx_data *rdata) {
    const pjsip_msg *message = rdata->msg_info.msg;
    if (!sources)
        return false;
    if (message->type == PJSIP_RESPONSE_MSG)
        return pjsip_100rel_is_reliable(rdata) && isOverRate(sources);
    const pjsip_method_e method = message->line.req.method.id;
    if (method == PJSIP_ACK_METHOD || method == PJSIP_BYE_METHOD || method == PJSIP_CANCEL_METHOD)
        return false;
    return isOverRate(sources);
}

pj_bool_t onRequest(pjsip_rx_data *rdata) {
    const pjsip_transaction *transaction = transactionOf(rdata, PJSIP_ROLE_UAS);
    const pjsip_dialog *dialog = sipbridgeDialogOf(rdata);
    if ((!transaction || mayTakePart(transaction, rdata)) && (!dialog || maySpeakFor(dialog, rdata))) {
        // One that is sent again has its transaction.
        if (transaction || !dialog || !isTooMany(sourcesOf(dialog), rdata))
            return PJ_FALSE;
        pjsip_endpt_respond_stateless(pjsua_get_pjsip_endpt(), rdata, PJSIP_SC_SERVICE_UNAVAILABLE, NULL, NULL, NULL);
        return PJ_TRUE;
    }
    note(rdata);
    // Without a transaction: its branch may be that of another's (RFC 3261, 8.2.7).
    if (rdata->msg_info.msg->line.req.method.id != PJSIP_ACK_METHOD)
        pjsip_endpt_respond_stateless(pjsua_get_pjsip_endpt(), rdata, PJSIP_SC_FORBIDDEN, NULL, NULL, NULL);
    return PJ_TRUE;
}

pj_bool_t onResponse(pjsip_rx_data *rdata) {
    const pjsip_transaction *transaction = transactionOf(rdata, PJSIP_ROLE_UAC);
    const pjsip_dialog *dialog =
        transaction ? pjsip_tsx_get_dlg(const_cast<pjsip_transaction *>(transaction)) : sipbridgeDialogOf(rdata);
    if (!dialog)
        return PJ_FALSE;
    if ((!transaction || !isReceiver(transaction, rdata)) && !maySpeakFor(dialog, rdata)) {
        note(rdata);
        return PJ_TRUE;
    }
    // Where it also speaks from (NAT): its Contact may name an address that others cannot reach.
    Sources *sources = sourcesOf(dialog);
    const Network source = networkOf(&rdata->pkt_info.src_addr);
    if (sources && sources->ours && !isKnown(sources, source))
        learn(sources, source);
    // The far end sends it again until its PRACK comes (RFC 3262, 3), so that a dropped one is not lost.
    return isTooMany(sources, rdata);
}

}  // namespace

void watchSources() { PJSUA2_CHECK_EXPR(pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &sourcesModule)); }

void cameFrom(pjsip_dialog *dialog, const pjsip_rx_data *rdata) {
    learn(make(dialog, false, 1), networkOf(&rdata->pkt_info.src_addr));
}

void wentTo(pjsip_dialog *dialog, const std::vector<string> &sources) {
    Sources *kept = make(dialog, true, sources.size());
    Network network;
    for (const string &each : sources)
        if (read(each, &network))
            learn(kept, network);
}

void noteAddresses(const string &name, const std::vector<pj_sockaddr> &addresses) {
    if (addresses.empty())
        return;
    if (names.size() >= MAX_NAMES)
        names.clear();
    std::vector<Network> &kept = names[folded(borrowed(name))];
    kept.clear();
    for (const pj_sockaddr &each : addresses)
        kept.push_back(networkOf(&each));
}

long long strangers() { return strangerCount; }

}  // namespace sipbridge
