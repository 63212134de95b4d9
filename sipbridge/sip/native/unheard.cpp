#include "unheard.hpp"
#include "message.hpp"

#include <deque>
#include <string>

namespace sipbridge {

namespace {

const long GIVE_UP_SECONDS = 2;

/**
 * An INVITE without a response: its key, because the transaction may have ended meanwhile, and the time to give it up.
 */
struct Unheard {
    std::string key;
    pj_time_val due;
};

std::deque<Unheard> unheard;

}  // namespace

void giveUpLater(const pjsip_transaction *invite) {
    pj_time_val due;
    pj_gettickcount(&due);
    due.sec += GIVE_UP_SECONDS;
    const pj_str_t &key = invite->transaction_key;
    unheard.push_back(Unheard{textOf(key), due});
}

void giveUpUnheard() {
    pj_time_val now;
    pj_gettickcount(&now);
    while (!unheard.empty() && PJ_TIME_VAL_LTE(unheard.front().due, now)) {
        const std::string key = unheard.front().key;
        unheard.pop_front();
        pj_str_t name = pj_str(const_cast<char *>(key.c_str()));
        pjsip_transaction *invite = pjsip_tsx_layer_find_tsx(&name, PJ_TRUE);
        if (!invite)
            continue;
        if (invite->status_code < 100)
            pjsip_tsx_terminate(invite, PJSIP_SC_REQUEST_TIMEOUT);
        pj_grp_lock_release(invite->grp_lock);
    }
}

}  // namespace sipbridge
