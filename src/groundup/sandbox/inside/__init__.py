"""What runs inside the sandbox's own processes, in a bare interpreter: the standard library and nothing else.

These modules import each other relatively and nothing of the rest of groundup, because the launcher is started without
site-packages and finds this folder by its path (see `groundup.sandbox.launchers`).
"""
