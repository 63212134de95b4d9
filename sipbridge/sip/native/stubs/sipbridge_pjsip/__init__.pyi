# PJSIP and the native layer of sipbridge, compiled into one wheel (../../README.md).
