"""Who comes in and what they may: tokens, sessions, invitations."""
