"""Builds PJSIP's Python module as a wheel, on a machine it readies for that.

Standard library only: it runs before anything is installed.
"""
