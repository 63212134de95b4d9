"""The build of PJSIP's Python module as a wheel, and the installation of the packages that it needs.

Only the standard library is imported, because this runs before anything is installed.
"""
