"""A simulated CXone: token, configuration, Signal and transcript endpoints, and faults on request."""

from sipbridge.simulators.cxone.models import DEMO_TENANT, Tenant
from sipbridge.simulators.cxone.server import main, make_app, running_simulator

__all__ = ["DEMO_TENANT", "Tenant", "main", "make_app", "running_simulator"]
