-- read_sealed_audit: links of the chain in their order, each with the entry it seals, if that is
-- still there.
SELECT link.position, link.audit_id, link.seal, entry.id, entry.at, entry.project_id, entry.actor,
       entry.action, entry.subject_kind, entry.subject_id, entry.summary, entry.changes,
       entry.request_id, entry.address
  FROM audit_seal AS link
  LEFT JOIN audit AS entry ON entry.id = link.audit_id
 WHERE link.position > :after
   AND link.position <= :until
 ORDER BY link.position
 LIMIT :limit
