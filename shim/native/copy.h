// A copy out of and into a container (`berth cp`), inside of its mount namespace: what the container makes of its paths
// leads nowhere else, and no program of its image has a part in it (moby CVE-2018-15664, CVE-2026-41567).
#pragma once
#include "runner.h"
#include "tar.h"

// Writes what is at `path` as a tar stream to stdout; its names begin with the last component of `path` ("." as such).
bool copy_out(int root, const char *path, struct err *e);
// Takes a tar stream from stdin. `path` is a directory that is there: names are made in it. Else the directory of `path`
// must be there, and its last component takes the place of the first one of each name.
bool copy_in(int root, const char *path, struct err *e);
