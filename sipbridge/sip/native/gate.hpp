/*
 * The gate: it decides about every request outside a dialog, every REFER in a dialog and every connection to us. Call
 * these on the SIP thread.
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

/** A request at the gate, and the decision about it. Valid only during RequestGate::onRequest and onRefer. */
class IncomingRequest {
public:
    IncomingRequest(pjsip_rx_data *rdata, int ticket) : rdata_(rdata), ticket_(ticket) {}

    /** The number of this request in EventIncoming, EventRejected and, for a REFER, notifyTransfer. */
    int ticket() const { return ticket_; }

    /** The method, as sent. */
    std::string method() const { return textOf(rdata_->msg_info.msg->line.req.method.name); }
    /** The message as received; for a request that is not whole, only the headers that a response needs. */
    std::string message() const {
        return std::string(rdata_->msg_info.msg_buf, static_cast<size_t>(rdata_->msg_info.len));
    }
    std::string sourceAddress() const { return rdata_->pkt_info.src_name; }
    int sourcePort() const { return rdata_->pkt_info.src_port; }
    /** "UDP", "TCP" or "TLS". */
    std::string transport() const { return rdata_->tp_info.transport->type_name; }

    /** The status for a message that cannot be processed, 400, 416, 505 or 513; 0 if it can be. */
    int messageFault() const;
    /** The fault of the message in words; empty if it has none. */
    std::string messageFaultText() const;

    /** The status for a method that is not served outside a dialog; 0 for INVITE and OPTIONS. */
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
     * Respond to a refused request; false if it was not refused. A transaction absorbs retransmissions (RFC 3261,
     * 17.2.1) and lasts 32 s, so after many refusals the response is sent without one.
     */
    bool respond();
    /** The same for a request in a dialog. */
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
 * The decisions about requests and connections, which Python implements.
 *
 * The gate sees every request outside a dialog before PJSUA does. Before PJSUA asks its application about an INVITE, it
 * has opened sockets, made a dialog, taken a call slot and checked the SDP. A request that is refused here costs at
 * most a transaction. The gate also sees every REFER in a dialog, because PJSUA would call any URI in it.
 */
class RequestGate {
public:
    virtual ~RequestGate() {}
    /** Decide about a TCP or TLS connection that a peer has opened; false closes it before a byte is read. */
    virtual bool onConnection(const std::string &source) {
        (void)source;
        return true;
    }
    /** Decide about a request outside a dialog. It is admitted unless this function refuses it. */
    virtual void onRequest(IncomingRequest &request) { (void)request; }
    /**
     * Decide about the far end's REFER with one Refer-To. Unless this function refuses it, it gets 202 and a NOTIFY
     * with 100 (RFC 3515, 2.4.4); notifyTransfer reports its outcome later.
     */
    virtual void onRefer(int call, IncomingRequest &request) {
        (void)call;
        request.refuse(PJSIP_SC_FORBIDDEN, "");
    }
    /** Return true to hold a caller's BYE until passBye(ticket), at most for a moment (byes.hpp). */
    virtual bool onBye(int call, int ticket) {
        (void)call;
        (void)ticket;
        return false;
    }
    /** Put the gate in front of PJSUA. Call it once, after Endpoint::libInit. */
    void open() PJSUA2_THROW(pj::Error);
    /** Remove the gate. Call it after Endpoint::libDestroy, since requests arrive until that returns. */
    void close();
};

/** True if the open gate admits a connection from this source, or if no gate is open. */
bool admitsConnection(const std::string &source);
/** True if the open gate holds this BYE. */
bool asksToHold(int call, int ticket);

/** Respond to a REFER in a dialog as the open gate decides. */
void decideRefer(pjsua_call_id call, pjsip_dialog *dialog, pjsip_rx_data *rdata);

/** The ticket of the latest request at the gate. PJSUA gets that request before the gate sees another. */
int lastTicket();

}  // namespace sipbridge

#endif
