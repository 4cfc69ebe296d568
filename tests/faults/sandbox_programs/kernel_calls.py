# ends: error
# add_key keyctl bpf perf_event_open io_uring_setup userfaultfd kexec_load init_module finit_module delete_module reboot swapon
# quotactl acct settimeofday clock_settime adjtimex sethostname iopl ioperm lookup_dcookie shmget msgget semget name_to_handle_at
# process_madvise memfd_secret landlock_create_ruleset pidfd_getfd seccomp personality ustat fanotify_init kcmp vmsplice mbind
import ctypes
import platform

libc = ctypes.CDLL(None, use_errno=True)
numbers = {
    "x86_64": [248, 250, 321, 298, 425, 323, 246, 175, 313, 176, 169, 167, 179, 163, 164, 227, 159, 170, 172, 173, 212, 29, 68, 64,
               303, 440, 447, 444, 438, 317, 135, 136, 300, 312, 278, 237],
    "aarch64": [217, 219, 280, 241, 425, 282, 104, 105, 273, 106, 142, 224, 60, 89, 170, 112, 171, 161, 18, 194, 186, 190, 264, 440,
                447, 444, 438, 277, 92, 262, 272, 75, 235],
}[platform.machine()]  # fmt: skip
for number in numbers:
    result, code = libc.syscall(number, 0, 0, 0, 0, 0, 0), ctypes.get_errno()
    if result != -1 or code != 1:
        print("ESCAPED", number, result, code)
raise SystemExit(1)
