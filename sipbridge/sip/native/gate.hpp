/*
 * The gate: every request outside a dialog, every REFER in a dialog and every connection is judged here first. Everything
 * here belongs to the SIP thread.
 */
#ifndef SIPBRIDGE_GATE_HPP
#define SIPBRIDGE_GATE_HPP

#include "message.hpp"

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

#include <string>
#include <utility>
#include <vector>

namespace sipbridge {

/** One request at the gate, and what is decided about it. Valid during RequestGate::onRequest only. */
class IncomingRequest {
public:
    IncomingRequest(pjsip_rx_data *rdata, int ticket) : rdata_(rdata), ticket_(ticket) {}

    /**
     * What is known of this request later: by an Incoming event, or Rejected if PJSUA rejects it; for a REFER
     * by notifyTransfer.
     */
    int ticket() const { return ticket_; }

    /** The method, as sent. */
    std::string method() const { return textOf(rdata_->msg_info.msg->line.req.method.name); }
    /** The message as received, or, of one that is refused as such, what a response needs. */
    std::string message() const {
        return std::string(rdata_->msg_info.msg_buf, static_cast<size_t>(rdata_->msg_info.len));
    }
    std::string sourceAddress() const { return rdata_->pkt_info.src_name; }
    int sourcePort() const { return rdata_->pkt_info.src_port; }
    /** "UDP", "TCP" or "TLS". */
    std::string transport() const { return rdata_->tp_info.transport->type_name; }

    /** The status by which the message itself has to be refused, 400, 416, 505 or 513; 0 if it can be read. */
    int messageFault() const;
    /** What is wrong with the message, if anything is. */
    std::string messageFaultText() const;

    /** The status by which the request has to be refused for its method; 0 for INVITE and OPTIONS. */
    int methodFault() const;

    void refuse(int code, const std::string &reason) {
        code_ = code;
        reason_ = reason;
    }
    /** Refuse without a transaction (RFC 3261, 8.2.7): it costs no memory, however many there are. */
    void refuseStateless(int code) {
        code_ = code;
        stateless_ = true;
    }
    void addHeader(const std::string &name, const std::string &value) { headers_.emplace_back(name, value); }

    /**
     * Answer a refused request, with a transaction that absorbs retransmissions (RFC 3261, 17.2.1), or without if it says
     * so, or if there have been many: a transaction is kept for 32 s.
     */
    bool respond();
    /** The same for one in a dialog. */
    bool respond(pjsip_dialog *dialog);

private:
    void listHeaders(pjsip_hdr *headers) const;

    pjsip_rx_data *rdata_;
    int ticket_;
    int code_ = 0;
    bool stateless_ = false;
    std::string reason_;
    std::vector<std::pair<std::string, std::string>> headers_;
};

/**
 * Sees every request outside a dialog before PJSUA does. For an INVITE PJSUA would open sockets, a dialog and a call
 * slot, and judge the SDP, before asking anybody; a request refused here costs a transaction and no more.
 *
 * Sees every REFER in a dialog too: PJSUA would call whatever number it names.
 */
class RequestGate {
public:
    virtual ~RequestGate() {}
    /** Decide about a TCP or TLS connection that a peer has opened; false closes it before a byte was read. */
    virtual bool onConnection(const std::string &source) {
        (void)source;
        return true;
    }
    /** Decide; leave the request alone to let it in. */
    virtual void onRequest(IncomingRequest &request) { (void)request; }
    /**
     * Decide about a REFER with one Refer-To, from the far end of a call. Left alone it is answered 202 and NOTIFY with
     * 100 (RFC 3515, 2.4.4); what becomes of it is told by notifyTransfer.
     */
    virtual void onRefer(int call, IncomingRequest &request) {
        (void)call;
        request.refuse(PJSIP_SC_FORBIDDEN, "");
    }
    /** Hold a caller's BYE until passBye is called with the ticket, or a moment is over (byes.hpp). */
    virtual bool onBye(int call, int ticket) {
        (void)call;
        (void)ticket;
        return false;
    }
    /** Put the gate in front of PJSUA; once, after Endpoint::libInit. */
    void open() PJSUA2_THROW(pj::Error);
    /** Take it away; after Endpoint::libDestroy, which takes a second, and requests come until then. */
    void close();
};

/** What the open gate says of a connection; yes where none is open. */
bool admitsConnection(const std::string &source);
/** What the open gate says of a BYE; no where none is open. */
bool asksToHold(int call, int ticket);

/** Answer a REFER in a dialog as the open gate says. */
void decideRefer(pjsua_call_id call, pjsip_dialog *dialog, pjsip_rx_data *rdata);

/** The ticket of the request that went through the gate last. PJSUA sees it next, before any other. */
int lastTicket();

}  // namespace sipbridge

#endif
