/*
 * Callers' BYEs, held for a moment: a note that the call is over is written before the BYE is answered. So a crash right
 * after the answer leaves no call that looks as if it still stood.
 */
#ifndef SIPBRIDGE_BYES_HPP
#define SIPBRIDGE_BYES_HPP

#include <pjsua2.hpp>

namespace sipbridge {

/** Ask RequestGate::onBye about each BYE of a caller from now on; once, after RequestGate::open. */
void holdByes() PJSUA2_THROW(pj::Error);
/** Let PJSIP have a BYE that was held; nothing if it had it already. */
void passBye(int ticket);
/** Let it have those that were held for too long: a disk that hangs keeps no caller. */
void passLateByes();
/** Let it have all of them, and hold no more; before Endpoint::libDestroy. */
void stopHoldingByes();

}  // namespace sipbridge

#endif
