#include "pools.hpp"

#include <malloc.h>

#include <algorithm>

#include <pjsua2.hpp>
#include <pjsua-lib/pjsua_internal.h>

namespace sipbridge {

namespace {

const long WATCH_SECONDS = 60;
// Less is not worth the walk through malloc's memory.
const pj_size_t LEAST_BYTES = 8 * 1024 * 1024;

pj_size_t leastKept = 0;  // since `watchedSince`
pj_time_val watchedSince;

void watchAnew() {
    leastKept = pjsua_var.cp.capacity;
    pj_gettickcount(&watchedSince);
}

/** Free kept pools, of all sizes alike and the longest unused first, until so many bytes are free or none is left. */
void freeKept(pj_caching_pool &cp, pj_size_t bytes) {
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
    watchAnew();
}

void giveIdlePoolsBack() {
    pj_caching_pool &cp = pjsua_var.cp;
    leastKept = std::min(leastKept, cp.capacity);
    pj_time_val passed;
    pj_gettickcount(&passed);
    PJ_TIME_VAL_SUB(passed, watchedSince);
    if (passed.sec < WATCH_SECONDS)
        return;
    if (leastKept >= LEAST_BYTES) {
        pj_lock_acquire(cp.lock);
        freeKept(cp, leastKept);
        pj_lock_release(cp.lock);
        malloc_trim(0);
    }
    watchAnew();
}

int poolsInUse() { return static_cast<int>(pjsua_var.cp.used_count); }

}  // namespace sipbridge
