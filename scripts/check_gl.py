"""Exit 0 when mujoco can render without a display here, 1 when libraries for it are missing.

Asks the libraries themselves instead of the package manager: drivers come from many packages, and libEGL alone,
without a driver below it, opens no display. Only Linux with EGL is checked, which is what presage uses by default;
whoever sets MUJOCO_GL to another backend has chosen it.
"""

import ctypes
import os
import sys

EGL_PLATFORM_DEVICE_EXT = 0x313F
MAX_DEVICES = 16


def loads(*names: str) -> bool:
    """True when one of the shared libraries can be loaded."""
    for name in names:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


def egl_works() -> bool:
    """True when some EGL device opens a display, which is what mujoco does before it renders."""
    # PyOpenGL, through which mujoco reaches EGL, fails without one of these (NoneType has no glGetError).
    if not loads("libEGL.so.1") or not loads("libOpenGL.so.0", "libGL.so.1"):
        return False
    egl = ctypes.CDLL("libEGL.so.1")
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    query_address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    display_address = egl.eglGetProcAddress(b"eglGetPlatformDisplayEXT")
    if not query_address or not display_address:
        return False
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    query_type = ctypes.CFUNCTYPE(ctypes.c_uint, integer, ctypes.POINTER(pointer), ctypes.POINTER(integer))
    query_devices = query_type(query_address)
    platform_display = ctypes.CFUNCTYPE(pointer, ctypes.c_uint, pointer, pointer)(display_address)
    egl.eglInitialize.argtypes = [pointer, pointer, pointer]
    egl.eglTerminate.argtypes = [pointer]

    devices = (pointer * MAX_DEVICES)()
    count = integer()
    if not query_devices(MAX_DEVICES, devices, ctypes.byref(count)):
        return False
    for device in devices[: count.value]:
        display = platform_display(EGL_PLATFORM_DEVICE_EXT, device, None)
        if display and egl.eglInitialize(display, None, None):
            egl.eglTerminate(display)
            return True
    return False


if __name__ == "__main__":
    checked = sys.platform.startswith("linux") and os.environ.get("MUJOCO_GL", "egl") == "egl"
    sys.exit(1 if checked and not egl_works() else 0)
