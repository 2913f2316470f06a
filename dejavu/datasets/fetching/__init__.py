"""Downloads, verified and unpacked."""
