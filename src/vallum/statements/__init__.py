"""What the rules of web ACLs say of requests: one statement a file, in AWS WAF's words."""
