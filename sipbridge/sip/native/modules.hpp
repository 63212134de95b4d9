/*
 * Our modules in PJSIP, and their order. A received message passes them from the lowest priority to the highest, and a
 * sent message the other way.
 */
#ifndef SIPBRIDGE_MODULES_HPP
#define SIPBRIDGE_MODULES_HPP

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

enum ModulePriority {
    // A connection shows a sign of life, before any module can take the message.
    CONNECTIONS_PRIORITY = PJSIP_MOD_PRIORITY_TRANSPORT_LAYER - 2,
    // A message that is not whole is refused, before the transaction layer.
    INCOMING_PRIORITY = PJSIP_MOD_PRIORITY_TRANSPORT_LAYER - 1,
    // The source is checked before the transaction layer, which would take any CANCEL, ACK or response, and before SDP.
    SOURCES_PRIORITY = PJSIP_MOD_PRIORITY_TRANSPORT_LAYER,
    // Received SDP is rewritten before transactions and dialogs read it, and our SDP before the message is printed.
    DESCRIPTIONS_PRIORITY = PJSIP_MOD_PRIORITY_TRANSPORT_LAYER + 1,
    // Responses are completed last, before they are printed.
    RESPONSES_PRIORITY = PJSIP_MOD_PRIORITY_TRANSPORT_LAYER + 1,
    // BYEs are held after the transaction layer, which absorbs retransmissions, and before the dialogs, which respond.
    BYES_PRIORITY = PJSIP_MOD_PRIORITY_UA_PROXY_LAYER - 1,
    // The gate decides after the transaction and dialog layers, and before PJSUA.
    GATE_PRIORITY = PJSIP_MOD_PRIORITY_APPLICATION - 1,
};

/** A module of that name without callbacks. */
inline pjsip_module moduleOf(const char *name, ModulePriority priority) {
    pjsip_module module;
    pj_bzero(&module, sizeof(module));
    module.name = pj_str(const_cast<char *>(name));
    module.id = -1;
    module.priority = priority;
    return module;
}

/** Add a module to PJSIP. Call it once, after Endpoint::libInit. */
void registerModule(pjsip_module *module) PJSUA2_THROW(pj::Error);

}  // namespace sipbridge

#endif
