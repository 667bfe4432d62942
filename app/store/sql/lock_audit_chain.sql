-- lock_audit_chain: whether this transaction may lengthen the chain. An advisory lock of the
-- transaction, not of the session: it goes with the process that holds it.
SELECT pg_try_advisory_xact_lock(7436190256) AS is_ours
