/*
 * PJSIP's memory pools. A call allocates and releases a dozen, and PJSUA would free each of them. Here released pools
 * are cached for the next call, and those that stay unused are freed.
 */
#ifndef SIPBRIDGE_POOLS_HPP
#define SIPBRIDGE_POOLS_HPP

namespace sipbridge {

/** Cache released pools, up to that number of bytes. Call it after Endpoint::libCreate. */
void setPoolCacheLimit(int bytes);
/** Free, every 60 s, as many bytes as were cached and unused for all of that time. Each poll calls it. */
void freeIdlePools();
/** The number of pools in use. Any thread may call it. */
int poolsInUse();

}  // namespace sipbridge

#endif
