#include "sources.hpp"
#include "events.hpp"
#include "gate.hpp"
#include "message.hpp"
#include "modules.hpp"
#include "rate_limits.hpp"
#include "socket_address.hpp"
#include "text.hpp"

#include <algorithm>
#include <map>

// In sip_ua_layer.c (patches/0027): the dialog that PJSIP will give a message to, by its tags or by the INVITE of a
// CANCEL.
extern "C" pjsip_dialog *sipbridgeDialogOf(pjsip_rx_data *rdata);

namespace sipbridge {

using std::string;

namespace {

// The most addresses that are learnt from one far end's responses, and the most names and refused sources that are
// kept.
const unsigned MAX_LEARNT = 8, MAX_NAMES = 1000;
// For so long the gate is not asked again about a source that is not trusted.
constexpr auto REFUSED_FOR = std::chrono::seconds(1);

// Requests and reliable provisional responses of a dialog: 20 per second, and 100 at once. Each costs a transaction,
// the response that of its PRACK, for 32 s in a table that all calls share.
using MessageRate = TokenBucket<50, 100>;

/**
 * The sources that may send the messages of a dialog's far end. In the pool of the dialog, with space for learnt ones.
 */
struct Sources {
    bool ours;  // our own call
    pj_str_t farEnd;
    unsigned count, capacity;
    MessageRate rate;
    IpNetwork networks[1];
};

std::map<string, std::vector<IpAddress>> names;
std::map<string, Clock::time_point> refused;
long long strangerCount = 0;
ReportedCount<10> reportedStrangers;

/** True if the host of a Contact or a Record-Route has this address. */
bool isHostOf(const pjsip_uri *uri, const IpAddress &source) {
    if (!uri || (!PJSIP_URI_SCHEME_IS_SIP(uri) && !PJSIP_URI_SCHEME_IS_SIPS(uri)))
        return false;
    const auto *sip = static_cast<const pjsip_sip_uri *>(pjsip_uri_get_uri(const_cast<pjsip_uri *>(uri)));
    const string host = lower(textOf(sip->maddr_param.slen ? sip->maddr_param : sip->host));
    if (const auto address = IpAddress::read(host))
        return *address == source;
    const auto found = names.find(host);
    return found != names.end() && std::count(found->second.begin(), found->second.end(), source);
}

/** True if this is an address of the far end's Contact, or of the route to it. */
bool isOnRoute(const pjsip_dialog *dialog, const IpAddress &source) {
    if (isHostOf(dialog->target, source) || (dialog->remote.contact && isHostOf(dialog->remote.contact->uri, source)))
        return true;
    const pjsip_route_hdr *routes = &dialog->route_set;
    for (const pjsip_route_hdr *route = routes->next; route != routes; route = route->next)
        if (isHostOf(reinterpret_cast<const pjsip_uri *>(&route->name_addr), source))
            return true;
    return false;
}

/** True if the gate admits a source. A refusal is remembered, so that a flood does not call Python for each message. */
bool isTrusted(const string &source) {
    const Clock::time_point now = Clock::now();
    const auto found = refused.find(source);
    if (found != refused.end() && now < found->second)
        return false;
    if (admitsConnection(source)) {
        refused.erase(source);
        return true;
    }
    if (refused.size() >= MAX_NAMES)
        refused.clear();
    refused[source] = now + REFUSED_FOR;
    return false;
}

// ---------------------------------------------------------------- dialogs

pj_bool_t onRequest(pjsip_rx_data *rdata);
pj_bool_t onResponse(pjsip_rx_data *rdata);

pjsip_module sourcesModule = [] {
    pjsip_module module = moduleOf("mod-sipbridge-sources", SOURCES_PRIORITY);
    module.on_rx_request = &onRequest;
    module.on_rx_response = &onResponse;
    return module;
}();

Sources *make(pjsip_dialog *dialog, bool ours, const string &farEnd, size_t count) {
    const size_t capacity = count + MAX_LEARNT;
    auto *sources =
        static_cast<Sources *>(pj_pool_zalloc(dialog->pool, sizeof(Sources) + capacity * sizeof(IpNetwork)));
    sources->ours = ours;
    const pj_str_t name = borrowed(farEnd);
    pj_strdup(dialog->pool, &sources->farEnd, &name);
    sources->capacity = static_cast<unsigned>(capacity);
    pjsip_dlg_set_mod_data(dialog, sourcesModule.id, sources);
    return sources;
}

Sources *sourcesOf(const pjsip_dialog *dialog) { return static_cast<Sources *>(dialog->mod_data[sourcesModule.id]); }

void learn(Sources *sources, const IpNetwork &network) {
    if (sources && sources->count < sources->capacity)
        sources->networks[sources->count++] = network;
}

void learn(Sources *sources, const IpAddress &source) { learn(sources, IpNetwork{source, 128}); }

bool isKnown(const Sources *sources, const IpAddress &source) {
    return sources && std::any_of(sources->networks, sources->networks + sources->count,
                                  [&](const IpNetwork &each) { return each.contains(source); });
}

bool maySpeakFor(const pjsip_dialog *dialog, const pjsip_rx_data *rdata) {
    const pjsip_transport *transport = rdata->tp_info.transport;
    if (dialog->tp_sel.type == PJSIP_TPSELECTOR_TRANSPORT && dialog->tp_sel.u.transport == transport &&
        PJSIP_TRANSPORT_IS_RELIABLE(transport))
        return true;
    const IpAddress source = ipAddressOf(&rdata->pkt_info.src_addr);
    Sources *sources = sourcesOf(dialog);
    if (isKnown(sources, source))
        return true;
    if (sources && sources->ours)
        return isOnRoute(dialog, source);
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

/** True if the request of a transaction without a dialog came from this address. */
bool isSender(const pjsip_transaction *transaction, const IpAddress &source) {
    const pjsip_response_addr &response = transaction->res_addr;
    if (response.transport)
        return ipAddressOf(&response.addr) == source;
    const auto host = IpAddress::read(textOf(response.dst_host.addr.host));
    return host && *host == source;
}

bool mayTakePart(const pjsip_transaction *transaction, const pjsip_rx_data *rdata) {
    const pjsip_dialog *dialog = pjsip_tsx_get_dlg(const_cast<pjsip_transaction *>(transaction));
    return dialog ? maySpeakFor(dialog, rdata) : isSender(transaction, ipAddressOf(&rdata->pkt_info.src_addr));
}

/** True if a response comes from the address or the connection to which the request was sent. */
bool isReceiver(const pjsip_transaction *transaction, const pjsip_rx_data *rdata) {
    if (PJSIP_TRANSPORT_IS_RELIABLE(rdata->tp_info.transport) && transaction->transport == rdata->tp_info.transport)
        return true;
    return transaction->addr_len > 0 && ipAddressOf(&transaction->addr) == ipAddressOf(&rdata->pkt_info.src_addr);
}

/** Count a message of another source, and report such messages at most once in ten seconds. */
void noteStranger(const pjsip_rx_data *rdata) {
    ++strangerCount;
    const int count = reportedStrangers.add(Clock::now());
    if (!count)
        return;
    const pjsip_msg *message = rdata->msg_info.msg;
    const pj_str_t &method = rdata->msg_info.cseq->method.name;
    const int status = message->type == PJSIP_RESPONSE_MSG ? message->line.status.code : 0;
    push(EventStranger, -1, count, status, string(rdata->pkt_info.src_name) + "\n" + textOf(method));
}

/**
 * True if a message costs a transaction and its dialog has had too many of them. ACK, BYE and CANCEL are never too
 * many.
 */
bool isTooMany(Sources *sources, pjsip_rx_data *rdata) {
    const pjsip_msg *message = rdata->msg_info.msg;
    const pjsip_method_e method = message->type == PJSIP_REQUEST_MSG ? message->line.req.method.id : PJSIP_OTHER_METHOD;
    if (!sources || method == PJSIP_ACK_METHOD || method == PJSIP_BYE_METHOD || method == PJSIP_CANCEL_METHOD)
        return false;
    if (message->type == PJSIP_RESPONSE_MSG && !pjsip_100rel_is_reliable(rdata))
        return false;
    return !sources->rate.take(Clock::now());
}

pj_bool_t onRequest(pjsip_rx_data *rdata) {
    const pjsip_transaction *transaction = transactionOf(rdata, PJSIP_ROLE_UAS);
    const pjsip_dialog *dialog = sipbridgeDialogOf(rdata);
    if ((!transaction || mayTakePart(transaction, rdata)) && (!dialog || maySpeakFor(dialog, rdata))) {
        // A retransmission has a transaction already.
        if (transaction || !dialog || !isTooMany(sourcesOf(dialog), rdata))
            return PJ_FALSE;
        pjsip_endpt_respond_stateless(pjsua_get_pjsip_endpt(), rdata, PJSIP_SC_SERVICE_UNAVAILABLE, NULL, NULL, NULL);
        return PJ_TRUE;
    }
    noteStranger(rdata);
    // Without a transaction (RFC 3261, 8.2.7), since the branch may be that of another request.
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
        noteStranger(rdata);
        return PJ_TRUE;
    }
    // The far end may send its requests from this address too: behind NAT, its Contact has a private one.
    Sources *sources = sourcesOf(dialog);
    const IpAddress source = ipAddressOf(&rdata->pkt_info.src_addr);
    if (sources && sources->ours && !isKnown(sources, source))
        learn(sources, source);
    // A reliable response that is dropped is not lost, since the far end repeats it until its PRACK (RFC 3262, 3).
    return isTooMany(sources, rdata);
}

}  // namespace

void watchSources() { registerModule(&sourcesModule); }

void cameFrom(pjsip_dialog *dialog, const pjsip_rx_data *rdata) {
    learn(make(dialog, false, rdata->pkt_info.src_name, 1), ipAddressOf(&rdata->pkt_info.src_addr));
}

void wentTo(pjsip_dialog *dialog, const string &target, const std::vector<string> &sources) {
    Sources *kept = make(dialog, true, target, sources.size());
    for (const string &each : sources)
        if (const auto network = IpNetwork::read(each))
            learn(kept, *network);
}

string farEndOf(const pjsip_dialog *dialog) {
    const Sources *sources = sourcesOf(dialog);
    return sources ? textOf(sources->farEnd) : "";
}

void noteAddresses(const string &name, const std::vector<pj_sockaddr> &addresses) {
    if (addresses.empty())
        return;
    if (names.size() >= MAX_NAMES)
        names.clear();
    std::vector<IpAddress> &kept = names[lower(name)];
    kept.clear();
    for (const pj_sockaddr &each : addresses)
        kept.push_back(ipAddressOf(&each));
}

long long strangers() { return strangerCount; }

}  // namespace sipbridge
