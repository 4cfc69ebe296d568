# ends: error timeout
import threading


def more():
    while True:
        threading.Thread(target=more).start()


more()
