/*
 * PJSIP's memory pools. A call takes and gives back a dozen; PJSUA would give each back to malloc. Here some are kept
 * for the next call, and of those the ones that are not needed go back to the system.
 */
#ifndef SIPBRIDGE_POOLS_HPP
#define SIPBRIDGE_POOLS_HPP

namespace sipbridge {

/** Keep freed pools for reuse, up to so many bytes. After Endpoint::libCreate. */
void setPoolCacheLimit(int bytes);
/** Give back to the system, once a minute, what was kept and unused all that minute. At each turn of the poll. */
void giveIdlePoolsBack();
/** How many pools are in use. From any thread. */
int poolsInUse();

}  // namespace sipbridge

#endif
