# ends: killed error
# int 0x80 reaches the 32-bit table, where socketcall (102) and open (5) have other numbers.
import ctypes
import mmap
import platform

if platform.machine() != "x86_64":
    raise SystemExit(1)
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3")  # push rbx; mov eax, 20 (getpid); int 0x80; pop rbx; ret
start = ctypes.addressof(ctypes.c_char.from_buffer(code))
print("ESCAPED", ctypes.CFUNCTYPE(ctypes.c_int)(start)())
