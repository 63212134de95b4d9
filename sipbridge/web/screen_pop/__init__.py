"""What the CRM of a human agent opens."""
