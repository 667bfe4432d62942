-- seal_audit: lengthen the chain, and strike out what is sealed by it. Should two processes ever
-- get here together, the key on the position refuses the second.
WITH sealed AS (
    INSERT INTO audit_seal (position, audit_id, seal)
    SELECT * FROM unnest(cast(:position AS bigint[]), cast(:audit_id AS uuid[]), cast(:seal AS bytea[]))
    RETURNING audit_id
)
DELETE FROM audit_unsealed AS unsealed
 USING sealed
 WHERE unsealed.audit_id = sealed.audit_id
