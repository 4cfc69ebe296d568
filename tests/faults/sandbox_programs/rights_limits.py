# ends: error memory
import resource

for kind in (
    resource.RLIMIT_AS,
    resource.RLIMIT_CPU,
    resource.RLIMIT_NPROC,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
):
    soft, hard = resource.getrlimit(kind)
    if hard == resource.RLIM_INFINITY:
        print("ESCAPED: no limit", kind)
    try:
        resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print("ESCAPED", kind)
    except (OSError, ValueError):
        pass
raise SystemExit(1)
