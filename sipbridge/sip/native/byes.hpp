/*
 * Callers' BYEs, held until the journal has the end of the call. So after a crash that follows the response to a BYE,
 * no ended call looks like one in progress. Call these on the SIP thread.
 */
#ifndef SIPBRIDGE_BYES_HPP
#define SIPBRIDGE_BYES_HPP

#include <pjsua2.hpp>

namespace sipbridge {

/** From now on ask RequestGate::onBye about each BYE of a caller. Call it once, after RequestGate::open. */
void holdByes() PJSUA2_THROW(pj::Error);
/** Pass a held BYE to PJSIP; do nothing if PJSIP has it already. */
void passBye(int ticket);
/** Pass the BYEs to PJSIP that were held for too long, because a disk may hang. */
void passLateByes();
/** Pass all held BYEs to PJSIP and hold no more. Call it before Endpoint::libDestroy. */
void stopHoldingByes();

}  // namespace sipbridge

#endif
