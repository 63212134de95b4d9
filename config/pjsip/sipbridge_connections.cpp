#include "sipbridge_connections.hpp"

#include "sipbridge_tls.hpp"

#include <list>
#include <map>
#include <set>

namespace sipbridge {

namespace {

const size_t MAX_CALLED = 10000;

size_t mostConnections = 0;
// Those that have said nothing yet, oldest first, and those that have; a source's share in both.
std::list<pjsip_transport *> silent;
std::set<pjsip_transport *> heard;
std::map<std::string, size_t> shares;
// Addresses that we have opened a connection to.
std::set<std::string> called;

std::string sourceOf(const pjsip_transport *transport) {
    const pj_str_t &host = transport->remote_name.host;
    return std::string(host.ptr, static_cast<size_t>(host.slen));
}

bool isStream(const pjsip_transport *transport) { return PJSIP_TRANSPORT_IS_RELIABLE(transport); }

/** Close it; it goes once its transactions have ended. */
void close(pjsip_transport *transport) { pjsip_transport_shutdown(transport); }

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

/** Close the oldest that has said nothing, of this source or of any; false where there is none. */
bool makeRoom(const std::string *source) {
    for (pjsip_transport *each : silent)
        if (!source || sourceOf(each) == *source) {
            forget(each);
            close(each);
            return true;
        }
    return false;
}

void onOpened(pjsip_transport *transport) {
    const std::string source = sourceOf(transport);
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
        close(transport);
        return;
    }
    ++shares[source];
    silent.push_back(transport);
}

void onTransportState(pjsip_transport *transport, pjsip_transport_state state, const pjsip_transport_state_info *info) {
    noteTlsState(transport, state, info);
    if (!isStream(transport))
        return;
    if (state == PJSIP_TP_STATE_CONNECTED)
        onOpened(transport);
    else if (state == PJSIP_TP_STATE_DESTROY)
        forget(transport);
}

void onDroppedData(pjsip_tp_dropped_data *data) {
    // One bad message leaves the next readable; anything else means that nobody knows where the next one begins.
    if (isStream(data->tp) && data->status != PJ_EIGNORED && data->status != PJSIP_EINVALIDMSG)
        close(data->tp);
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
    // So that its idle time counts from now: an ACK or a response makes no transaction whose end would begin it.
    pjsip_transport_add_ref(transport);
    pjsip_transport_dec_ref(transport);
    return PJ_FALSE;
}

pjsip_module makeModule() {
    pjsip_module module;
    pj_bzero(&module, sizeof(module));
    module.name = pj_str(const_cast<char *>("mod-sipbridge-connections"));
    module.id = -1;
    // Before any other looks at the message.
    module.priority = PJSIP_MOD_PRIORITY_TRANSPORT_LAYER - 1;
    module.on_rx_request = &onMessage;
    module.on_rx_response = &onMessage;
    return module;
}

pjsip_module connectionsModule = makeModule();

}  // namespace

void watchConnections(int most) {
    mostConnections = static_cast<size_t>(most);
    pjsua_var.ua_cfg.cb.on_transport_state = &onTransportState;
    pjsip_tpmgr_set_drop_data_cb(pjsip_endpt_get_tpmgr(pjsua_get_pjsip_endpt()), &onDroppedData);
    pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &connectionsModule);
}

int openConnections() { return static_cast<int>(silent.size() + heard.size()); }

}  // namespace sipbridge
