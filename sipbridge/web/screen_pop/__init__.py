"""Links that the CRM of a human agent opens."""
