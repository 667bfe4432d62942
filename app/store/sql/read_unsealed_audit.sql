-- read_unsealed_audit: the entries the chain does not hold yet, oldest first. Read after the lock of
-- lock_audit_chain: one process at a time lengthens the chain, and the next one sees what it wrote.
SELECT entry.id, entry.at, entry.project_id, entry.actor, entry.action, entry.subject_kind,
       entry.subject_id, entry.summary, entry.changes, entry.request_id, entry.address
  FROM audit_unsealed AS unsealed
  JOIN audit AS entry ON entry.id = unsealed.audit_id
 ORDER BY unsealed.audit_id
 LIMIT :limit
