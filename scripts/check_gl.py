"""Exit 0 when this machine can render without a display, 1 when libraries for it are missing.

Asks the library itself instead of the package manager: drivers come from many packages, and libEGL alone,
without a driver below it, opens no display. On Linux mujoco renders through EGL (`MUJOCO_GL=egl`) or OSMesa;
elsewhere it brings its own way and nothing has to be checked.
"""

import ctypes
import os
import sys

EGL_PLATFORM_DEVICE_EXT = 0x313F
MAX_DEVICES = 16


def egl_works() -> bool:
    """True when some EGL device gives a display, which is what mujoco does before it renders."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    query_address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    display_address = egl.eglGetProcAddress(b"eglGetPlatformDisplayEXT")
    if not query_address or not display_address:
        return False
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    query_type = ctypes.CFUNCTYPE(ctypes.c_uint, integer, ctypes.POINTER(pointer), ctypes.POINTER(integer))
    query = query_type(query_address)
    platform_display = ctypes.CFUNCTYPE(pointer, ctypes.c_uint, pointer, pointer)(display_address)
    egl.eglInitialize.argtypes = [pointer, pointer, pointer]
    egl.eglTerminate.argtypes = [pointer]

    devices = (pointer * MAX_DEVICES)()
    count = integer()
    if not query(MAX_DEVICES, devices, ctypes.byref(count)):
        return False
    for device in devices[: count.value]:
        display = platform_display(EGL_PLATFORM_DEVICE_EXT, device, None)
        if display and egl.eglInitialize(display, None, None):
            egl.eglTerminate(display)
            return True
    return False


def osmesa_works() -> bool:
    """True when OSMesa can be loaded."""
    try:
        ctypes.CDLL("libOSMesa.so.8")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    backend = os.environ.get("MUJOCO_GL", "egl")
    works = osmesa_works() if backend == "osmesa" else egl_works()
    sys.exit(0 if works or not sys.platform.startswith("linux") else 1)
