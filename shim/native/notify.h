// sd_notify(3): Node has no datagram sockets of this kind.
#pragma once
#include "common.h"

// Sends the text to NOTIFY_SOCKET's value: a path, or `@name` for an abstract socket. Nothing is done without one.
bool notify(const char *path, const char *text, size_t length, struct err *e);
