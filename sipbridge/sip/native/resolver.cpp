#include "resolver.hpp"

#include "events.hpp"
#include "message.hpp"
#include "peers.hpp"
#include "sources.hpp"

#include <pjsua-lib/pjsua_internal.h>

#include <map>

#define THIS_FILE "resolver.cpp"

namespace sipbridge {

// PJSUA2_RAISE_ERROR needs these names in scope.
using pj::Error;
using std::string;

namespace {

// Messages that wait for a name at one time. More are caused by a peer that invents names.
const size_t MAX_WAITING = 2000;

/** A message that waits for its targets: PJSIP's callback, and the token for it. */
struct Waiting {
    pjsip_resolver_callback *callback;
    void *token;
    string name;
};

/** The target of an INVITE, and the host and port of its URI. */
struct Sent {
    string host;
    int port = 0;
    string target;
};

std::map<int, Waiting> waiting;
int lastNumber = 0;
// The target of the INVITE that is being sent; empty at all other times.
Sent sending;
// By PJSUA's slot.
Sent sent[PJSUA_MAX_CALLS];

pjsip_transport_type_e typeOf(const pjsip_host_info *target) {
    if (target->type != PJSIP_TRANSPORT_UNSPECIFIED)
        return target->type;
    if (target->flag & PJSIP_TRANSPORT_SECURE)
        return PJSIP_TRANSPORT_TLS;
    return target->flag & PJSIP_TRANSPORT_RELIABLE ? PJSIP_TRANSPORT_TCP : PJSIP_TRANSPORT_UDP;
}

void add(pjsip_server_addresses *found, pjsip_transport_type_e type, const pj_sockaddr &address, const pj_str_t &name) {
    if (found->count >= PJ_ARRAY_SIZE(found->entry))
        return;
    pjsip_server_address_record &entry = found->entry[found->count++];
    pj_bzero(&entry, sizeof(entry));
    const bool six = address.addr.sa_family == pj_AF_INET6();
    entry.name = name;
    entry.type = static_cast<pjsip_transport_type_e>(six ? type | PJSIP_TRANSPORT_IPV6 : type & ~PJSIP_TRANSPORT_IPV6);
    entry.addr = address;
    entry.addr_len = static_cast<int>(pj_sockaddr_get_len(&address));
    if (pj_sockaddr_get_port(&address) == 0)
        pj_sockaddr_set_port(&entry.addr, static_cast<pj_uint16_t>(pjsip_transport_get_default_port_for_type(type)));
}

bool addNumeric(pjsip_server_addresses *found, const pjsip_host_info *target) {
    pj_sockaddr address;
    for (const int family : {pj_AF_INET(), pj_AF_INET6()}) {
        pj_bzero(&address, sizeof(address));
        address.addr.sa_family = static_cast<pj_uint16_t>(family);
        if (pj_inet_pton(family, &target->addr.host, pj_sockaddr_get_addr(&address)) != PJ_SUCCESS)
            continue;
        pj_sockaddr_set_port(&address, static_cast<pj_uint16_t>(target->addr.port));
        add(found, typeOf(target), address, target->addr.host);
        return true;
    }
    return false;
}

/** Read `TRANSPORT://ADDRESS:PORT`. */
bool addText(pjsip_server_addresses *found, const string &target, const pj_str_t &name) {
    const size_t end = target.find("://");
    if (end == string::npos)
        return false;
    const string scheme = target.substr(0, end), rest = target.substr(end + 3);
    const pj_str_t transport = pj_str(const_cast<char *>(scheme.c_str()));
    const pj_str_t text = pj_str(const_cast<char *>(rest.c_str()));
    const pjsip_transport_type_e type = pjsip_transport_get_type_from_name(&transport);
    pj_sockaddr address;
    if (type == PJSIP_TRANSPORT_UNSPECIFIED || pj_sockaddr_parse(pj_AF_UNSPEC(), 0, &text, &address) != PJ_SUCCESS)
        return false;
    add(found, type, address, name);
    return true;
}

/** Add the connection that a dialog stays on (stayOnConnection): its requests need no lookup. */
bool addConnection(pjsip_server_addresses *found, const pjsip_host_info *target, const void *token) {
    const pjsip_tpselector &selector = static_cast<const pjsip_send_state *>(token)->tdata->tp_sel;
    if (selector.type != PJSIP_TPSELECTOR_TRANSPORT || !(selector.u.transport->flag & PJSIP_TRANSPORT_RELIABLE))
        return false;
    const pjsip_transport_key &key = selector.u.transport->key;
    add(found, static_cast<pjsip_transport_type_e>(key.type), key.rem_addr, target->addr.host);
    return true;
}

bool addChosen(pjsip_server_addresses *found, const pjsip_host_info *target) {
    if (sending.target.empty() || !addText(found, sending.target, target->addr.host))
        return false;
    sending.host = textOf(target->addr.host);
    sending.port = target->addr.port;
    return true;
}

/** Add the target of the INVITE, for a later request of its dialog to the same host. */
bool addSame(pjsip_server_addresses *found, const pjsip_host_info *target, const void *token) {
    const pjsip_msg *message = static_cast<const pjsip_send_state *>(token)->tdata->msg;
    if (message->type != PJSIP_REQUEST_MSG)
        return false;
    const auto *id = static_cast<const pjsip_cid_hdr *>(pjsip_msg_find_hdr(message, PJSIP_H_CALL_ID, NULL));
    const auto *from = static_cast<const pjsip_from_hdr *>(pjsip_msg_find_hdr(message, PJSIP_H_FROM, NULL));
    const auto *to = static_cast<const pjsip_to_hdr *>(pjsip_msg_find_hdr(message, PJSIP_H_TO, NULL));
    if (!id || !from || !to || !to->tag.slen)
        return false;
    const pjsip_dialog *dialog = pjsip_ua_find_dialog(&id->id, &from->tag, &to->tag, PJ_FALSE);
    const auto *call = dialog ? static_cast<const pjsua_call *>(dialog->mod_data[pjsua_var.mod.id]) : nullptr;
    if (!call || call->inv != pjsip_dlg_get_inv_session(const_cast<pjsip_dialog *>(dialog)))
        return false;  // the slot has another call by now
    const Sent &invite = sent[call->index];
    const pj_str_t host = pj_str(const_cast<char *>(invite.host.c_str()));
    if (invite.target.empty() || invite.port != target->addr.port || pj_stricmp(&host, &target->addr.host) != 0)
        return false;
    pjsip_server_addresses same;
    same.count = 0;
    if (!addText(&same, invite.target, target->addr.host))
        return false;
    if (target->type != PJSIP_TRANSPORT_UNSPECIFIED && target->type != same.entry[0].type)
        return false;
    add(found, same.entry[0].type, same.entry[0].addr, target->addr.host);
    return true;
}

void ask(const pjsip_host_info *target, void *token, pjsip_resolver_callback *callback) {
    const string name = textOf(target->addr.host);
    // A line break separates the fields of the event; no valid host name has one.
    if (waiting.size() >= MAX_WAITING || name.find('\n') != string::npos) {
        (*callback)(PJ_ERESOLVE, token, NULL);
        return;
    }
    string transport;
    if (target->type != PJSIP_TRANSPORT_UNSPECIFIED)
        transport = pjsip_transport_get_type_name(typeOf(target));
    const int number = ++lastNumber;
    waiting[number] = Waiting{callback, token, name};
    const string author = authorOfDestination(static_cast<const pjsip_send_state *>(token)->tdata);
    push(EventResolve, -1, number, target->addr.port, transport + "\n" + name + "\n" + author);
}

void resolve(pjsip_resolver_t *, pj_pool_t *, const pjsip_host_info *target, void *token,
             pjsip_resolver_callback *callback) {
    pjsip_server_addresses found;
    found.count = 0;
    const bool known = addChosen(&found, target) || addConnection(&found, target, token) ||
                       addNumeric(&found, target) || addSame(&found, target, token);
    if (known)
        (*callback)(PJ_SUCCESS, token, &found);
    else
        ask(target, token, callback);
}

pjsip_ext_resolver resolver = {&resolve};

}  // namespace

void resolveNames() { PJSUA2_CHECK_EXPR(pjsip_endpt_set_ext_resolver(pjsua_get_pjsip_endpt(), &resolver)); }

void resolved(int number, const std::vector<string> &targets) {
    const auto found = waiting.find(number);
    if (found == waiting.end())
        return;
    const Waiting one = found->second;
    waiting.erase(found);
    const pj_str_t name = borrowed(one.name);
    pjsip_server_addresses addresses;
    addresses.count = 0;
    for (const string &target : targets)
        addText(&addresses, target, name);
    std::vector<pj_sockaddr> hosts;
    for (unsigned i = 0; i < addresses.count; ++i)
        hosts.push_back(addresses.entry[i].addr);
    noteAddresses(one.name, hosts);
    (*one.callback)(addresses.count ? PJ_SUCCESS : PJ_ERESOLVE, one.token, addresses.count ? &addresses : NULL);
}

void resolveNoMore() {
    while (!waiting.empty())
        resolved(waiting.begin()->first, {});
}

ChosenTarget::ChosenTarget(const string &target) { sending.target = target; }
ChosenTarget::~ChosenTarget() { sending = Sent(); }
void ChosenTarget::keepFor(int call) const { sent[call] = sending; }

void forgetTarget(int call) { sent[call] = Sent(); }

}  // namespace sipbridge
