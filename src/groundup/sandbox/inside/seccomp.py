"""A seccomp filter that lets a program do what plain computing in Python needs, and refuses every other system call.

It is an allow list: network sockets, namespaces, mounts, ptrace, process_vm_*, keys, bpf, perf, io_uring, modules, kexec,
System V memory, memfd and calls not invented yet are refused because they are not on it (EPERM). A call made for another
architecture's table kills the program. Numbers are those of the kernel's public tables: x86-64 and the generic one of aarch64.
"""

from __future__ import annotations

import ctypes
import struct

from .kernel import MACHINE, NEW_CGROUP, NEW_IPC, NEW_NET, NEW_NS, NEW_PID, NEW_USER, NEW_UTS, check

# name=number on x86-64/number on aarch64
_ALLOWED = """
read=0/63 write=1/64 open=2/- close=3/57 stat=4/- fstat=5/80 lstat=6/- poll=7/- lseek=8/62 mmap=9/222 mprotect=10/226
munmap=11/215 brk=12/214 rt_sigaction=13/134 rt_sigprocmask=14/135 rt_sigreturn=15/139 pread64=17/67 pwrite64=18/68
readv=19/65 writev=20/66 access=21/- pipe=22/- select=23/- sched_yield=24/124 mremap=25/216 msync=26/227
mincore=27/232 madvise=28/233 dup=32/23 dup2=33/- pause=34/- nanosleep=35/101 getitimer=36/102 alarm=37/-
setitimer=38/103 getpid=39/172 sendfile=40/71 sendto=44/206 recvfrom=45/207 sendmsg=46/211 recvmsg=47/212
shutdown=48/210 exit=60/93 wait4=61/260 kill=62/129 uname=63/160 fcntl=72/25 flock=73/32 fsync=74/82 fdatasync=75/83
truncate=76/45 ftruncate=77/46 getdents=78/- getcwd=79/17 chdir=80/49 fchdir=81/50 rename=82/- mkdir=83/- rmdir=84/-
creat=85/- link=86/- unlink=87/- symlink=88/- readlink=89/- chmod=90/- fchmod=91/52 umask=95/166 gettimeofday=96/169
getrlimit=97/163 getrusage=98/165 sysinfo=99/179 times=100/153 getuid=102/174 getgid=104/176 geteuid=107/175
getegid=108/177 setpgid=109/154 getppid=110/173 getpgrp=111/- setsid=112/157 getgroups=115/158 getresuid=118/148
getresgid=120/150 getpgid=121/155 getsid=124/156 capget=125/90 rt_sigpending=127/136 rt_sigtimedwait=128/137
rt_sigqueueinfo=129/138 rt_sigsuspend=130/133 sigaltstack=131/132 utime=132/- statfs=137/43 fstatfs=138/44
getpriority=140/141 sched_getparam=143/121 sched_getscheduler=145/120 sched_get_priority_max=146/125
sched_get_priority_min=147/126 sched_rr_get_interval=148/127 arch_prctl=158/- gettid=186/178 readahead=187/213
tkill=200/130 time=201/- futex=202/98 sched_getaffinity=204/123 getdents64=217/61 set_tid_address=218/96
restart_syscall=219/128 fadvise64=221/223 timer_create=222/107 timer_settime=223/110 timer_gettime=224/108
timer_getoverrun=225/109 timer_delete=226/111 clock_gettime=228/113 clock_getres=229/114 clock_nanosleep=230/115
exit_group=231/94 epoll_create=213/- epoll_wait=232/- epoll_ctl=233/21 tgkill=234/131 utimes=235/- waitid=247/95
openat=257/56 mkdirat=258/34 newfstatat=262/79 unlinkat=263/35 renameat=264/38 linkat=265/37 symlinkat=266/36
readlinkat=267/78 fchmodat=268/53 faccessat=269/48 pselect6=270/72 ppoll=271/73 set_robust_list=273/99
get_robust_list=274/100 splice=275/76 tee=276/77 sync_file_range=277/84 utimensat=280/88 epoll_pwait=281/22
signalfd=282/- timerfd_create=283/85 eventfd=284/- fallocate=285/47 timerfd_settime=286/86 timerfd_gettime=287/87
signalfd4=289/74 eventfd2=290/19 epoll_create1=291/20 dup3=292/24 pipe2=293/59 inotify_init1=294/26
inotify_add_watch=254/27 inotify_rm_watch=255/28 preadv=295/69 pwritev=296/70 getcpu=309/168
renameat2=316/276 getrandom=318/278 copy_file_range=326/285 preadv2=327/286 pwritev2=328/287 statx=332/291
rseq=334/293 close_range=436/436 faccessat2=439/439 epoll_pwait2=441/441 futex_waitv=449/449 membarrier=324/283
getsockopt=55/209 setsockopt=54/208 fchown=93/55 chown=92/- lchown=94/- fchownat=260/54
"""
_FORKS = "fork=57/- vfork=58/- execve=59/221 execveat=322/281"
_CLONE, _CLONE3, _SOCKETPAIR, _IOCTL, _PRCTL = "56/220", "435/435", "53/199", "16/29", "157/167"
_PRLIMIT = "302/261"

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}
MACHINES = frozenset(_COLUMN)

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _AT_LEAST, _ABOVE, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x25, 0x45, 0x06
_NUMBER, _ARCH = 0, 4  # offsets in struct seccomp_data; argument i is at 16 + 8 i

_NEW_NAMESPACES = NEW_NS | NEW_CGROUP | NEW_UTS | NEW_IPC | NEW_USER | NEW_PID | NEW_NET
_CLONE_THREAD = 0x00010000
_AF_UNIX = 1
# TCGETS, TIOCGWINSZ, FIONREAD, FIOCLEX, FIONCLEX, FIONBIO: what isatty, get_terminal_size and asyncio ask.
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5451, 0x5450, 0x5421)
# PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_SET_VMA (malloc names its arenas).
_PRCTLS = (3, 15, 16, 0x53564D41)


def _numbers(table: str) -> list[int]:
    column = _COLUMN[MACHINE]
    found = (entry.rpartition("=")[2].split("/")[column] for entry in table.split())
    return sorted(int(number) for number in found if number != "-")


def _code(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _argument_in(number: int, argument: int, values: tuple[int, ...]) -> list[bytes]:
    """Allow call `number` where the low half of its argument is one of `values`."""
    block = [_code(_LOAD, 16 + 8 * argument)]
    for value in values:
        block += [_code(_EQUAL, value, 0, 1), _code(_RETURN, _ALLOW)]
    block.append(_code(_RETURN, _ERRNO | _EPERM))
    return [_code(_EQUAL, number, 0, len(block)), *block]


def build(*, forks: bool) -> bytes:
    """The filter as BPF instructions. forks: new processes and other programs may be started; threads always may."""
    program = [
        _code(_LOAD, _ARCH),
        _code(_EQUAL, _AUDIT_ARCH[MACHINE], 1, 0),
        _code(_RETURN, _KILL),
        _code(_LOAD, _NUMBER),
    ]
    if MACHINE == "x86_64":  # the x32 table
        program += [_code(_AT_LEAST, 0x40000000, 0, 1), _code(_RETURN, _KILL)]
    # clone3 hides its flags behind a pointer; the C library falls back to clone when it is not there.
    program += [_code(_EQUAL, _numbers(_CLONE3)[0], 0, 1), _code(_RETURN, _ERRNO | _ENOSYS)]
    block = [_code(_LOAD, 16), _code(_ANY_BIT, _NEW_NAMESPACES, 0, 1), _code(_RETURN, _ERRNO | _EPERM)]
    if not forks:
        block += [_code(_ANY_BIT, _CLONE_THREAD, 1, 0), _code(_RETURN, _ERRNO | _EPERM)]
    block.append(_code(_RETURN, _ALLOW))
    program += [_code(_EQUAL, _numbers(_CLONE)[0], 0, len(block)), *block]
    program += _argument_in(_numbers(_SOCKETPAIR)[0], 0, (_AF_UNIX,))
    program += _argument_in(_numbers(_IOCTL)[0], 1, _IOCTLS)
    program += _argument_in(_numbers(_PRCTL)[0], 0, _PRCTLS)
    program += _argument_in(_numbers(_PRLIMIT)[0], 0, (0,))  # its own limits, not those of init, which keeps the clock
    for first, last in _ranges(_numbers(_ALLOWED + (_FORKS if forks else ""))):
        program += [_code(_AT_LEAST, first, 0, 2), _code(_ABOVE, last, 1, 0), _code(_RETURN, _ALLOW)]
    program.append(_code(_RETURN, _ERRNO | _EPERM))
    return b"".join(program)


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


def install(program: bytes) -> None:
    """Put the filter on this process and all it will start, for ever. Needs no_new_privileges."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    set_seccomp, filter_mode = 22, 2
    check(
        libc.prctl(
            set_seccomp, ctypes.c_ulong(filter_mode), ctypes.c_char_p(head), ctypes.c_ulong(0), ctypes.c_ulong(0)
        ),
        "seccomp",
    )
