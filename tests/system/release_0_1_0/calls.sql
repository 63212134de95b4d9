-- The database of sipbridge 0.1.0 (commit d8d81e0) after two calls: one that was handed off by the HTTP API and REFER,
-- and one whose caller hung up. Written by that release's own program, with config/demo.yaml (bridge.yaml beside this
-- file) and its scenarios `demo` and `caller_hangs_up`; dumped by sqlite3's iterdump.
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE calls (
    call_id    TEXT PRIMARY KEY,
    client     TEXT NOT NULL,
    project    TEXT NOT NULL,
    shared_id  TEXT NOT NULL,
    state      TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    body       TEXT NOT NULL
);
INSERT INTO "calls" VALUES('eb22101f99017392d2f8f49f69dbbdaf','demo','billing','case-4711','ended',1795961226551214,1795961229325475,'{"call_id":"eb22101f99017392d2f8f49f69dbbdaf","sip_call_id":"1-30599@127.0.0.1","client":"demo","project":"billing","contact_id":"115500123456","main_contact_id":"115500123450","caller":"+15550100","dialled":"+19995550001","state":"ended","started_at":"2026-11-29T14:07:06.551214Z","answered_at":"2026-11-29T14:07:06.552024Z","ended_at":"2026-11-29T14:07:09.324884Z","ended_by":"bridge","result":"success","reason":"handed_off","handoff":{"state":"handoff_completed","shared_id":"case-4711","destination":"sales","method":"refer","reason":"billing_question","requested_by":"api","utterance":"","data":{"invoice":{"number":"R-2026-17","amount":12345678901234567890123,"lines":[1,null,"ü"]}},"parameters":{"p1":"sales","p2":"10000003","p3":"billing_question","p4":"+15550100","p5":"gold","p9":"http://127.0.0.1:12446/pop/eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJjbGllbnQiOiJkZW1vIiwicHJvamVjdCI6ImJpbGxpbmciLCJjYWxsIjoiZWIyMjEwMWY5OTAxNzM5MmQyZjhmNDlmNjlkYmJkYWYiLCJleHAiOjE3OTU5NjQ4Mjl9.PJi5qx0JmUVFqwyYFPQ7AdW8E8XTfXB0BaiEtl5O1Yk"},"signal":"accepted","transfer":"refer_accepted","confirmed":true,"handoff_at":"2026-11-29T14:07:06.562346Z","finished_at":"2026-11-29T14:07:09.325052Z"},"transcript":[{"role":"caller","text":"My bill is too high.","at":"2026-11-29T14:07:06.559990Z"},{"role":"agent","text":"I am getting you a person – one moment.","at":"2026-11-29T14:07:06.560008Z"}]}');
INSERT INTO "calls" VALUES('57888ff62b055e34c22f1169deb75fbd','demo','billing','115500123466','ended',1795961229496558,1795961229804360,'{"call_id":"57888ff62b055e34c22f1169deb75fbd","sip_call_id":"1-30723@127.0.0.1","client":"demo","project":"billing","contact_id":"115500123466","main_contact_id":"115500123460","caller":"+15550100","dialled":"+19995550001","state":"ended","started_at":"2026-11-29T14:07:09.496558Z","answered_at":"2026-11-29T14:07:09.497103Z","ended_at":"2026-11-29T14:07:09.803800Z","ended_by":"caller","result":"success","reason":"caller_hung_up","handoff":null,"transcript":[]}');
CREATE INDEX calls_by_shared_id ON calls (client, project, shared_id, started_at);
CREATE INDEX calls_by_start ON calls (client, project, started_at);
CREATE INDEX calls_by_update ON calls (updated_at);
COMMIT;
