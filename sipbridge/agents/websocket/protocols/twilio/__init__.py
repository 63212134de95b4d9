"""Twilio Media Streams, from the side of Twilio (twilio.com/docs/voice/media-streams)."""
