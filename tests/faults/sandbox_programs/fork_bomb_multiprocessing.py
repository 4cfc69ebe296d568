# ends: error
import multiprocessing
import time

for _ in range(1000):
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,)).start()
print("ESCAPED")
