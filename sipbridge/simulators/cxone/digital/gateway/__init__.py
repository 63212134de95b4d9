"""The DFO chat gateway of CXone Digital: its WebSocket, REST API and OAuth."""
