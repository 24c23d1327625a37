"""The tests of minidl; the folders mirror the package."""
