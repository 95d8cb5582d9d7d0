"""What is read: tables and figures made from records alone."""
