#include "modules.hpp"

#define THIS_FILE "modules.cpp"

namespace sipbridge {

// PJSUA2_RAISE_ERROR needs these names in scope.
using pj::Error;
using std::string;

void registerModule(pjsip_module *module) {
    PJSUA2_CHECK_EXPR(pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), module));
}

}  // namespace sipbridge
