#include "copy.h"

#include <errno.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "birth.h"
#include "unpack.h"

bool op_copy(struct runner *r, struct reader *in, struct err *e) {
  const bool inward = read_number(in) != 0;
  const char *path = read_string(in, NULL);
  if (r->container < 0) return fail(e, EINVAL, "copy", "not an exec");
  // No exec follows that would close the rest: the end of the status socket tells that this has started.
  if (!runner_ready(r, e) || !birth_keep(-1, r->root, e)) return false;
  r->status = -1;
  prctl(PR_SET_NAME, "berth-copy", 0, 0, 0);
  if (inward ? copy_in(r->root, path, e) : copy_out(r->root, path, e)) _exit(0);
  print_error(e);
  _exit(1);
}
