#include "pools.hpp"

#include <malloc.h>

#include <algorithm>

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

namespace {

const long WATCH_SECONDS = 60;
// Freeing fewer bytes is not worth the time of malloc_trim.
const pj_size_t LEAST_BYTES = 8 * 1024 * 1024;

pj_size_t leastCached = 0;  // the fewest bytes since `watchedSince`
pj_time_val watchedSince;

void startWatch() {
    leastCached = pjsua_var.cp.capacity;
    pj_gettickcount(&watchedSince);
}

/** Free cached pools until so many bytes are free: of each size in turn the pool that was unused for longest. */
void freeCached(pj_caching_pool &cp, pj_size_t bytes) {
    pj_size_t freed = 0;
    bool any = true;
    while (any && freed < bytes) {
        any = false;
        for (pj_list &list : cp.free_list) {
            if (pj_list_empty(&list))
                continue;
            auto *pool = static_cast<pj_pool_t *>(list.prev);
            any = true;
            pj_list_erase(pool);
            const pj_size_t size = pj_pool_get_capacity(pool);
            freed += size;
            cp.capacity -= std::min(size, cp.capacity);
            pj_pool_destroy_int(pool);
        }
    }
}

}  // namespace

void setPoolCacheLimit(int bytes) {
    pjsua_var.cp.max_capacity = static_cast<pj_size_t>(bytes);
    startWatch();
}

void freeIdlePools() {
    pj_caching_pool &cp = pjsua_var.cp;
    leastCached = std::min(leastCached, cp.capacity);
    pj_time_val passed;
    pj_gettickcount(&passed);
    PJ_TIME_VAL_SUB(passed, watchedSince);
    if (passed.sec < WATCH_SECONDS)
        return;
    if (leastCached >= LEAST_BYTES) {
        pj_lock_acquire(cp.lock);
        freeCached(cp, leastCached);
        pj_lock_release(cp.lock);
        malloc_trim(0);
    }
    startWatch();
}

int poolsInUse() { return static_cast<int>(pjsua_var.cp.used_count); }

}  // namespace sipbridge
