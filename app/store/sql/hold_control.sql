-- hold_control: the right to change the state of the instance. Waits for the ticks and claims under
-- way (see share_control) and keeps new ones waiting.
SELECT pg_advisory_xact_lock(7436190255312)
