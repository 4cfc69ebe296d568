# ends: error
# Process 1 keeps the clock: no processor time and no descriptors for it would stop the clock.
import resource

for kind in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_AS):
    try:
        resource.prlimit(1, kind, (0, 0))
        print("ESCAPED", kind)
    except OSError:
        pass
raise SystemExit(1)
