"""The HTTP server under the API: authentication, limits, errors, connections, CORS, the event stream."""
