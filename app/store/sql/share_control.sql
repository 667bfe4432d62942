-- share_control: what a tick and a claim hold until they commit. Whoever changes the state of the
-- instance waits for them in hold_control, so that nothing fires or starts behind its back. An
-- advisory lock: a row lock would write to the table each second in each worker. A statement of its
-- own, so that the next one sees what the last holder has committed.
SELECT pg_advisory_xact_lock_shared(7436190255312)
