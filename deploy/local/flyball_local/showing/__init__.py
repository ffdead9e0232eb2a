"""What people are shown: records, pulses and messages, in tables and sentences."""
