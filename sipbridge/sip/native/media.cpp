#include "media.hpp"

#include <vector>

#include <samplerate.h>

#define THIS_FILE "media.cpp"

namespace sipbridge {

// PJSUA2_RAISE_ERROR needs these names in scope.
using pj::Error;
using std::string;

void connectSlots(int source, int sink) { PJSUA2_CHECK_EXPR(pjsua_conf_connect(source, sink)); }

void disconnectSlots(int source, int sink) { pjsua_conf_disconnect(source, sink); }

int slotLevel(int slot) {
    unsigned to = 0, from = 0;
    return pjsua_conf_get_signal_level(slot, &to, &from) == PJ_SUCCESS ? static_cast<int>(from) : 0;
}

std::string resample(const std::string &pcm, int fromRate, int toRate) {
    const int16_t *samples = reinterpret_cast<const int16_t *>(pcm.data());
    const long count = static_cast<long>(pcm.size() / 2);
    const double ratio = static_cast<double>(toRate) / fromRate;
    std::vector<float> in(static_cast<size_t>(count)), out(static_cast<size_t>(count * ratio) + 64);
    src_short_to_float_array(samples, in.data(), static_cast<int>(count));
    SRC_DATA data;
    pj_bzero(&data, sizeof(data));
    data.data_in = in.data();
    data.input_frames = count;
    data.data_out = out.data();
    data.output_frames = static_cast<long>(out.size());
    data.src_ratio = ratio;
    if (src_simple(&data, SRC_SINC_MEDIUM_QUALITY, 1) != 0)
        PJSUA2_RAISE_ERROR(PJ_EINVAL);
    std::string result(static_cast<size_t>(data.output_frames_gen) * 2, '\0');
    src_float_to_short_array(out.data(), reinterpret_cast<short *>(&result[0]),
                             static_cast<int>(data.output_frames_gen));
    return result;
}

}  // namespace sipbridge
