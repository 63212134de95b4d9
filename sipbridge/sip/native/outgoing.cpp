#include "outgoing.hpp"

#include "message.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace sipbridge {

namespace {

// The Contacts of a 3xx that are read.
const size_t MAX_CONTACTS = 10;
const int FULL_Q1000 = 1000;

}  // namespace

void useCredentials(pjsip_dialog *dialog, const std::string &username, const std::string &password) {
    pjsip_cred_info credentials;
    pj_bzero(&credentials, sizeof(credentials));
    credentials.realm = pj_str(const_cast<char *>("*"));
    credentials.scheme = pj_str(const_cast<char *>("digest"));
    credentials.username = borrowed(username);
    credentials.data_type = PJSIP_CRED_DATA_PLAIN_PASSWD;
    credentials.data = borrowed(password);
    pjsip_auth_clt_set_credentials(&dialog->auth_sess, 1, &credentials);
}

pjsip_redirect_op onRedirected(pjsua_call_id, const pjsip_uri *, const pjsip_event *) { return PJSIP_REDIRECT_REJECT; }

std::string redirection(const pjsip_event *event) {
    if (!event || event->type != PJSIP_EVENT_TSX_STATE || event->body.tsx_state.type != PJSIP_EVENT_RX_MSG)
        return "";
    const pjsip_msg *message = event->body.tsx_state.src.rdata->msg_info.msg;
    if (message->type != PJSIP_RESPONSE_MSG || message->line.status.code / 100 != 3)
        return "";
    std::vector<std::pair<int, std::string>> contacts;
    char text[PJSIP_MAX_URL_SIZE];
    for (const pjsip_hdr *header = message->hdr.next; header != &message->hdr; header = header->next) {
        const auto *contact = reinterpret_cast<const pjsip_contact_hdr *>(header);
        if (header->type != PJSIP_H_CONTACT || contact->star || !contact->uri || contacts.size() >= MAX_CONTACTS)
            continue;
        auto *uri = static_cast<pjsip_uri *>(pjsip_uri_get_uri(contact->uri));
        const int length = pjsip_uri_print(PJSIP_URI_IN_REQ_URI, uri, text, sizeof(text));
        if (length > 0)
            // PJSIP has -1 or 0 if there is no q, which means the highest preference.
            contacts.emplace_back(contact->q1000 > 0 ? contact->q1000 : FULL_Q1000,
                                  std::string(text, static_cast<size_t>(length)));
    }
    std::stable_sort(contacts.begin(), contacts.end(),
                     [](const auto &one, const auto &other) { return one.first > other.first; });
    std::string lines;
    for (const auto &contact : contacts)
        lines.append("Contact: <").append(contact.second).append(">\r\n");
    return lines;
}

}  // namespace sipbridge
