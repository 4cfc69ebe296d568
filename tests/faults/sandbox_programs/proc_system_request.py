# ends: error
open("/proc/sysrq-trigger", "w").write("h")
print("ESCAPED")
